import { DELIVERED, type Verdict, type Verdicts } from '../../pipeline.ts';
import { MAX_RETRY_AFTER } from '../http/http-verdict.ts';

const KINDS = ['delivered', 'rejected', 'failed', 'unavailable'] as const;
const MARKS = ['answered', 'slow', 'unsent'] as const;
const LONGEST_REASON = 200;
const LONGEST_ANSWER = 300;
/** One word. */
const CODE = /^\w{1,64}$/;
const NOT_A_VERDICT: Verdict = {
  kind: 'unavailable',
  reason: 'the sink answered with something that is no verdict',
  code: 'SINK_VERDICT',
};

/** What foreign code has answered: verdicts whose fields have the types that the router counts on, or `unavailable` when it is none. */
export function checkedVerdicts(answer: unknown): Verdicts {
  return Array.isArray(answer) ? answer.map(checked) : checked(answer);
}

function checked(answer: unknown): Verdict {
  if (typeof answer !== 'object' || answer === null) return NOT_A_VERDICT;
  const given = answer as Readonly<Record<string, unknown>>;
  const kind = KINDS.find((name) => name === given['kind']);
  if (kind === 'delivered') return DELIVERED;
  if (kind === undefined || typeof given['reason'] !== 'string') return NOT_A_VERDICT;
  const { code, answer: said, retryAfter } = given;
  const common = {
    reason: oneLine(given['reason'], LONGEST_REASON),
    ...(typeof code === 'string' && CODE.test(code) && { code }),
    ...(typeof said === 'string' && { answer: oneLine(said, LONGEST_ANSWER) }),
  };
  if (kind === 'rejected') return { kind, ...common };
  const waits = typeof retryAfter === 'number' && retryAfter > 0;
  const wait = waits ? { retryAfter: Math.min(retryAfter, MAX_RETRY_AFTER) } : {};
  if (kind === 'failed') return { kind, ...common, ...wait };
  const marks = MARKS.filter((mark) => given[mark] === true).map((mark) => [mark, true] as const);
  return { kind, ...common, ...wait, ...Object.fromEntries(marks) };
}

function oneLine(text: string, longest: number): string {
  return text.replace(/[^ -~]+/g, ' ').slice(0, longest);
}
