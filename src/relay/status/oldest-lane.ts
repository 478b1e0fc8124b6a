/** Which lane keeps the oldest transaction that is not settled, for the status of a leader. */
import type { Clock } from '../../clock.ts';
import type { Origin } from '../../event.ts';
import type { WalHolder } from '../../observe/wal-status.ts';
import type { Batch, Destination, Verdicts } from '../../pipeline.ts';
import type { PipelineParts } from '../wiring.ts';

/** Younger ones are on their way. */
const HOLDS_AFTER_MS = 5_000;

interface Sent {
  readonly sink: string;
  readonly batch: Batch;
  readonly at: number;
}

/** The batches that sinks have; told once a batch. */
export class BatchesInFlight {
  private readonly clock: Clock;
  private readonly sent = new Set<Sent>();

  constructor(clock: Clock) {
    this.clock = clock;
  }

  /** The same destination, watched. */
  watch(destination: Destination): Destination {
    return {
      name: destination.name,
      concurrency: destination.concurrency,
      get closedFor() {
        return destination.closedFor;
      },
      deliver: async (batch: Batch, signal: AbortSignal): Promise<Verdicts> => {
        const entry = { sink: destination.name, batch, at: this.clock.now() };
        this.sent.add(entry);
        try {
          return await destination.deliver(batch, signal);
        } finally {
          this.sent.delete(entry);
        }
      },
    };
  }

  of(origin: Origin): Sent | undefined {
    for (const entry of this.sent) if (entry.batch.events.some((event) => event.origin === origin)) return entry;
    return undefined;
  }
}

const WHERE: Readonly<Record<string, string>> = {
  awaiting_visibility: 'waits until readers can see its transaction, whose commit has not returned yet',
  awaiting_dead_letters: 'waits until its dead letters are stored',
  backing_off: 'waits for its next try',
  blocked: 'waits for a person',
  gathering: 'waits for its window',
};

/** The lane, when the oldest transaction has been here for some time; undefined when nothing of walpost holds the slot. */
export function oldestLane(
  { ledger, router }: Pick<PipelineParts, 'ledger' | 'router'>,
  inFlight: BatchesInFlight,
  clock: Clock,
): WalHolder | undefined {
  const oldest = ledger.oldestOpen;
  const age = oldest ? clock.now() - oldest.receivedAt : 0;
  if (!oldest || age < HOLDS_AFTER_MS) return undefined;
  const since = new Date(clock.wallTime() - age).toISOString();
  const sent = inFlight.of(oldest);
  const lane = sent ? undefined : router.laneAt(oldest);
  const name = sent ? { sink: sent.sink, organizationId: sent.batch.organizationId } : lane;
  if (!name) {
    const message = `walpost itself: a transaction that came at ${timeText(since)} is not settled`;
    return { kind: 'lane', subject: 'unknown', since, message, remedy: 'See the log of `walpost run`.' };
  }
  const subject = `sink ${name.sink}, organization ${name.organizationId}`;
  const what = sent
    ? `has had a batch for ${Math.round((clock.now() - sent.at) / 1000)} s and has not answered`
    : `${WHERE[lane?.phase ?? ''] ?? 'waits for its turn'}${lane?.reason ? ` (${lane.reason})` : ''}`;
  const message = `walpost itself: ${subject} ${what}; its oldest event came at ${timeText(since)}`;
  const remedy = sent
    ? 'The attempt ends with the timeout of the sink, and the lane is parked after delivery.park_after.'
    : 'The lane is parked after delivery.park_after, so that the slot moves on.';
  return { kind: 'lane', subject, since, message, remedy: lane?.phase === 'awaiting_visibility' ? UNSEEN : remedy };
}

const UNSEEN =
  'Commits of the server wait, often for a synchronous standby; delivery.wait_visible: false sends without waiting.';

function timeText(rfc3339: string): string {
  return `${rfc3339.slice(0, 19).replace('T', ' ')} UTC`;
}
