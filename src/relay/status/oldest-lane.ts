/** Which lane keeps the oldest transaction that is not settled, for the status of a leader. */
import type { Clock } from '../../clock.ts';
import type { WalHolder } from '../../observe/wal-status.ts';
import { OWN_LANE } from '../../pipeline.ts';
import type { PipelineParts } from '../wiring.ts';

/** Younger ones are on their way. */
const HOLDS_AFTER_MS = 5_000;

const WHERE: Readonly<Record<string, string>> = {
  awaiting_visibility: 'waits until readers can see its transaction, whose commit has not returned yet',
  awaiting_dead_letters: 'waits until its dead letters are stored',
  backing_off: 'waits for its next try',
  blocked: 'waits for a person, and is being parked',
  gathering: 'waits for its window',
};

/** The lane, when the oldest transaction has been here for some time; undefined when nothing of walpost holds the slot. */
export function oldestLane(
  { ledger, router }: Pick<PipelineParts, 'ledger' | 'router'>,
  clock: Clock,
): WalHolder | undefined {
  const oldest = ledger.oldestOpen;
  const age = oldest ? clock.now() - oldest.receivedAt : 0;
  if (!oldest || age < HOLDS_AFTER_MS) return undefined;
  const since = new Date(clock.wallTime() - age).toISOString();
  const lane = router.laneAt(oldest);
  if (!lane) {
    const message = `walpost itself: a transaction that came at ${timeText(since)} is not settled`;
    return { kind: 'lane', subject: 'unknown', since, message, remedy: 'See the log of `walpost run`.' };
  }
  const named = lane.lane === OWN_LANE ? '' : `, lane ${lane.lane}`;
  const subject = `sink ${lane.sink}, organization ${lane.organizationId}${named}`;
  const what =
    lane.sentAt === null
      ? `${WHERE[lane.phase] ?? 'waits for its turn'}${lane.reason === null ? '' : ` (${lane.reason})`}`
      : `has had a batch for ${Math.round((clock.now() - lane.sentAt) / 1000)} s and has not answered`;
  const message = `walpost itself: ${subject} ${what}; its oldest event came at ${timeText(since)}`;
  const remedy =
    lane.sentAt === null
      ? 'The lane is parked after delivery.park_after, so that the slot moves on.'
      : 'The attempt ends with the timeout of the sink, and the lane is parked after delivery.park_after.';
  return { kind: 'lane', subject, since, message, remedy: lane.phase === 'awaiting_visibility' ? UNSEEN : remedy };
}

const UNSEEN =
  'Commits of the server wait, often for a synchronous standby; delivery.wait_visible: false sends without waiting.';

function timeText(rfc3339: string): string {
  return `${rfc3339.slice(0, 19).replace('T', ' ')} UTC`;
}
