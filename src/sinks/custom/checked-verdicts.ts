import { DELIVERED, type Verdict, type Verdicts } from '../../pipeline.ts';
import { MAX_RETRY_AFTER } from '../http/http-verdict.ts';

const KINDS = ['delivered', 'rejected', 'failed', 'unavailable'] as const;
const MARKS = ['answered', 'slow', 'unsent'] as const;
const LONGEST_REASON = 200;
const LONGEST_ANSWER = 300;
/** One word. */
const CODE = /^\w{1,64}$/;

const noVerdict = (fault: string): Verdict => ({
  kind: 'unavailable',
  reason: `the sink answered with something that is no verdict: ${fault}`,
  code: 'SINK_VERDICT',
});
const NO_OBJECT = noVerdict('no object');
const NO_KIND = noVerdict(`kind is not one of ${KINDS.join(', ')}`);
const NO_REASON = noVerdict('reason is no text, or an empty one');

/** Makes texts of foreign code fit to be kept. */
export interface Masks {
  /** Without secrets and without what was sent; `place` of the event, or undefined for the whole batch. Empty when nothing is left. */
  said(text: string, place: number | undefined): string;
  holdsSecret(text: string): boolean;
}

/** What foreign code has answered: verdicts whose fields have the types that the router counts on, or `unavailable` when it is none. */
export function checkedVerdicts(answer: unknown, masks: Masks): Verdicts {
  return Array.isArray(answer)
    ? answer.map((one, place) => checked(one, masks, place))
    : checked(answer, masks, undefined);
}

function checked(answer: unknown, masks: Masks, place: number | undefined): Verdict {
  if (typeof answer !== 'object' || answer === null) return NO_OBJECT;
  const given = answer as Readonly<Record<string, unknown>>;
  const kind = KINDS.find((name) => name === given['kind']);
  if (kind === 'delivered') return DELIVERED;
  if (kind === undefined) return NO_KIND;
  const { code, answer: said, retryAfter } = given;
  const reason = typeof given['reason'] === 'string' ? masks.said(given['reason'], place) : '';
  if (reason === '') return NO_REASON;
  const common = {
    reason: oneLine(reason, LONGEST_REASON),
    ...(typeof code === 'string' && CODE.test(code) && !masks.holdsSecret(code) && { code }),
    ...(typeof said === 'string' && { answer: oneLine(masks.said(said, place), LONGEST_ANSWER) }),
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
