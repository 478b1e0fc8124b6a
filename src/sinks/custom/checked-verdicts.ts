import type { Verdict, Verdicts } from '../../pipeline.ts';

const KINDS = ['delivered', 'rejected', 'failed', 'unavailable'];
const LONGEST_REASON = 200;
const NOT_A_VERDICT: Verdict = {
  kind: 'unavailable',
  reason: 'the sink answered with something that is no verdict',
  code: 'SINK_VERDICT',
};

/** What foreign code has answered: verdicts whose reason is one line, or `unavailable` when it is none. */
export function checkedVerdicts(answer: unknown): Verdicts {
  return Array.isArray(answer) ? answer.map(checked) : checked(answer);
}

function checked(answer: unknown): Verdict {
  if (typeof answer !== 'object' || answer === null || !('kind' in answer)) return NOT_A_VERDICT;
  if (!KINDS.includes(String(answer.kind))) return NOT_A_VERDICT;
  if (answer.kind === 'delivered') return answer as Verdict;
  if (!('reason' in answer) || typeof answer.reason !== 'string') return NOT_A_VERDICT;
  const reason = answer.reason.replace(/[^ -~]+/g, ' ').slice(0, LONGEST_REASON);
  return { ...answer, reason } as Verdict;
}
