/**
 * One request for as many events of a batch as fit, and the next after its answer.
 *
 * The broker answers for a request as a whole. When it refuses one of several messages, they are sent one by one, so that the
 * verdict meets the event that is the cause.
 */
import type { AttemptTime, Verdict } from '../../pipeline.ts';
import { behindObstacle } from '../broker/behind-an-obstacle.ts';
import { NO_TIME } from '../one-by-one.ts';
import type { KafkaMessage } from './kafka-client.ts';
import type { MadeMessage } from './kafka-message.ts';

interface RunOptions {
  /** Bytes of one request. */
  readonly most: number;
  readonly time: AttemptTime | undefined;
  readonly send: (messages: readonly KafkaMessage[]) => Promise<Verdict>;
}

interface Placed {
  readonly place: number;
  readonly message: KafkaMessage;
  readonly bytes: number;
}

export async function sendInRuns(made: readonly MadeMessage[], options: RunOptions): Promise<Verdict[]> {
  const verdicts: Verdict[] = [];
  let left: Placed[] = [];
  for (const [place, each] of made.entries()) {
    verdicts.push('refused' in each ? each.refused : NO_TIME);
    if ('message' in each) left.push({ place, message: each.message, bytes: each.bytes });
  }
  let alone = 0;
  let rest: Verdict | undefined;
  while (left.length > 0) {
    const run = alone > 0 ? left.slice(0, 1) : nextRun(left, options.most);
    if (!rest && options.time?.beginRequest() === false) rest = NO_TIME;
    const verdict = rest ?? (await options.send(run.map(({ message }) => message)));
    if (run.length > 1 && isRefusal(verdict) && !rest) {
      alone = run.length;
      continue;
    }
    for (const { place } of run) verdicts[place] = verdict;
    if (!rest && (verdict.kind === 'failed' || verdict.kind === 'unavailable')) rest = behindObstacle(verdict);
    left = left.slice(run.length);
    alone = Math.max(0, alone - 1);
  }
  return verdicts;
}

function nextRun(left: Placed[], most: number): Placed[] {
  let bytes = 0;
  const end = left.findIndex((each) => (bytes += each.bytes) > most);
  return end === -1 ? left : left.slice(0, Math.max(1, end));
}

/** The broker has answered, and the cause may be one of the messages. */
function isRefusal(verdict: Verdict): boolean {
  return verdict.kind === 'rejected' || (verdict.kind === 'unavailable' && verdict.answered === true);
}
