import type { Verdict } from '../pipeline.ts';
import { type HttpAnswer, verdictOfAnswer } from './http-verdict.ts';

/**
 * What Realtime's answer says about the message: the table of http-verdict.ts, with two additions.
 *
 * A 422 has two meanings. `{"errors": …}` is about the message, which is too large for the project. `{"message": …}` is
 * about the project, whose database starts, is full or has a broken policy; healthy messages pass once that is over.
 */
export function realtimeVerdict(answer: HttpAnswer): Verdict {
  if (answer.status === 404) {
    return verdictOfAnswer({ ...answer, excerpt: 'Realtime 2.97 or newer is needed, and the url must be the project' });
  }
  const verdict = verdictOfAnswer(answer);
  if (verdict.kind === 'failed' && answer.status === 422 && isAboutProject(answer.excerpt)) {
    return { ...verdict, kind: 'unavailable' };
  }
  return verdict;
}

function isAboutProject(body: string): boolean {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === 'object' && parsed !== null && 'message' in parsed && !('errors' in parsed);
  } catch {
    return false;
  }
}
