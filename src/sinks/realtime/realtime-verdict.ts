import type { Verdict } from '../../pipeline.ts';
import { topLevelKeys } from './top-level-keys.ts';
import { type HttpAnswer, verdictOfAnswer } from '../http/http-verdict.ts';

/**
 * What Realtime's answer says about the message: the table of http-verdict.ts, with two additions.
 *
 * A 422 has two meanings. `{"errors": …}` is about the message, which is too large for the project. `{"message": …}` is
 * about the project, whose database starts, is full or has a broken policy; healthy messages pass once that is over.
 */
export function realtimeVerdict(answer: HttpAnswer): Verdict {
  if (answer.status === 404) {
    return verdictOfAnswer(answer, 'Realtime 2.97 or newer is needed, and the url must be the project');
  }
  const verdict = verdictOfAnswer(answer);
  if (verdict.kind === 'failed' && answer.status === 422 && isAboutProject(answer.body)) {
    return { ...verdict, kind: 'unavailable' };
  }
  return verdict;
}

function isAboutProject(body: string): boolean {
  const keys = topLevelKeys(body);
  return keys.has('message') && !keys.has('errors');
}
