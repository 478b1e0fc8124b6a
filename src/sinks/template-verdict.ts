import type { Verdict } from '../pipeline.ts';
import { TemplateFailure } from '../template/template-failure.ts';

/**
 * The verdict for an event that a template cannot render: a dead letter, since it would fail in the same way again. One that
 * took too long is tried again, because a busy machine may be the cause. Throws what is no TemplateFailure.
 */
export function verdictOfTemplate(error: unknown, option: string): Verdict {
  // JSON that is nested more deeply than the stack can print.
  if (error instanceof RangeError)
    return { kind: 'rejected', reason: 'the payload is nested too deeply', code: 'TEMPLATE' };
  if (!(error instanceof TemplateFailure)) throw error;
  const kind = error.isSlow ? 'failed' : 'rejected';
  return { kind, reason: `the template in ${option} ${error.message}`, code: 'TEMPLATE' };
}
