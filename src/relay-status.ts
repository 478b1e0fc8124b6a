/** What the relay tells about itself: readiness from memory, the status with one look at the database. */
import type { Event, Origin } from './event.ts';
import { formatLsn, maxLsn, type Lsn } from './lsn.ts';
import type { Readiness, StatusReport } from './observe/status-report.ts';
import type { DeadLetterReason } from './pipeline.ts';
import { countDeadLetters } from './parking/dead-letter-counts.ts';
import type { Relay, RelayWatcher } from './relay.ts';
import type { Standby } from './relay-ground.ts';
import type { RelayServiceOptions } from './relay-service.ts';
import type { GuardedSink } from './sinks/guarded-sink.ts';
import { inspectSlot, type SlotFacts } from './slot/slot-state.ts';
import { VERSION } from './version.ts';

const POSTGRES_EPOCH_MS = Date.UTC(2000, 0, 1);

/** Milliseconds since the Unix epoch. */
function committedAtMs(origin: Origin): number | undefined {
  return origin.committedAtMicros === null ? undefined : POSTGRES_EPOCH_MS + Number(origin.committedAtMicros) / 1000;
}

export class RelayStatus {
  sinks: readonly GuardedSink[] = [];
  private readonly options: RelayServiceOptions;
  private attached: Relay | undefined;
  private standby: Standby | undefined;
  private ready: Readiness = { ready: false, role: 'starting', detail: 'connecting' };

  constructor(options: RelayServiceOptions) {
    this.options = options;
  }

  /** Turns what the router does into numbers; called once a batch. */
  readonly watcher: RelayWatcher = {
    received: (count: number): void => this.options.metrics.received(count),
    delivered: (sink: string, count: number, oldest: Event): void => {
      const { metrics, clock } = this.options;
      metrics.delivered(sink, count);
      const committed = committedAtMs(oldest.origin);
      if (committed !== undefined) metrics.commitToDelivery(sink, (clock.wallTime() - committed) / 1000);
    },
    deadLettered: (sink: string | null, reason: DeadLetterReason): void => {
      this.options.metrics.deadLettered(sink, reason, 1);
      this.options.log.warn({ sink, reason }, 'an event became a dead letter');
    },
    dropped: (): void => this.options.metrics.dropped(1),
    windowWait: (ms: number): void => this.options.metrics.windowWait(ms / 1000),
  };

  starting(detail: string): void {
    this.standby = undefined;
    this.ready = { ready: false, role: 'starting', detail };
  }

  /** Another process leads; this one could take over. */
  standingBy(standby: Standby): void {
    const { holder, slot } = standby;
    const address = holder?.address == null ? '' : ` from ${holder.address}`;
    const leader = holder ? `server process ${holder.pid}${address} leads` : 'another process leads';
    this.standby = standby;
    this.ready = { ready: true, role: 'standby', detail: `${leader} ${slot}` };
  }

  /** Tells about this connection until the returned function is called. */
  attach(relay: Relay): () => void {
    this.starting('connecting');
    this.attached = relay;
    return () => {
      this.attached = undefined;
      this.starting('connecting');
    };
  }

  readiness(): Readiness {
    if (!this.attached?.streaming) return this.ready;
    return { ready: true, role: 'leader', detail: `streaming from ${this.attached.ground.slot}` };
  }

  async report(): Promise<StatusReport> {
    const { config, clock } = this.options;
    const attached = this.attached;
    const readiness = this.readiness();
    const source = attached?.ground ?? this.standby;
    const facts = source && (await readFacts(source, attached?.slot));
    const state = attached?.router.state();
    const oldest = attached?.ledger.oldestOpen;
    const committed = oldest && committedAtMs(oldest);
    return {
      version: VERSION,
      at: new Date(clock.wallTime()).toISOString(),
      leader: {
        role: readiness.role,
        epoch: attached ? Number(attached.ground.cursor.epoch) : null,
        detail: readiness.detail,
      },
      slot: facts?.slot ?? null,
      lag: {
        ...(facts?.lag ?? { unreadBytes: null, unconfirmedBytes: null, retainedBytes: null, safeBytes: null }),
        seconds: attached ? (committed === undefined ? 0 : Math.max(0, (clock.wallTime() - committed) / 1000)) : null,
      },
      lanes: state?.lanes ?? null,
      breakers: this.sinks.map((sink) => ({ sink: sink.name, state: sink.breakerState })),
      bufferedBytes: state?.bufferedBytes ?? null,
      budgetBytes: config.memory.budget,
      openTransactions: attached?.ledger.openTransactions ?? null,
      lastReceivedAgeSeconds: attached ? (clock.now() - attached.slot.lastReceivedAt) / 1000 : null,
      parked: [],
      deadLetters: facts?.deadLetters ?? [],
      jobs: [],
    };
  }
}

type Facts = Pick<StatusReport, 'slot' | 'deadLetters'> & { readonly lag: Omit<StatusReport['lag'], 'seconds'> };

/** A standby receives nothing, so it does not know what is unread. */
async function readFacts(
  { pool, slot }: Pick<Standby, 'pool' | 'slot'>,
  stream: Relay['slot'] | undefined,
): Promise<Facts | undefined> {
  try {
    const [state, deadLetters] = await Promise.all([inspectSlot(pool, slot), countDeadLetters(pool)]);
    const facts = state.kind === 'missing' ? undefined : state.facts;
    return {
      slot: {
        name: slot,
        walStatus: facts ? (facts.walStatus ?? 'lost') : 'missing',
        active: facts?.holder != null,
        restartLsn: lsnText(facts?.restartLsn),
        confirmedLsn: lsnText(facts?.confirmedFlushLsn),
      },
      lag: {
        unreadBytes: stream ? unread(facts, maxLsn(stream.received, stream.serverEnd)) : null,
        unconfirmedBytes: facts?.unconfirmedBytes ?? null,
        retainedBytes: facts?.retainedBytes ?? null,
        safeBytes: facts?.safeBytes ?? null,
      },
      deadLetters,
    };
  } catch {
    return undefined;
  }
}

/** The server's end is its confirmed position and what lies behind it. */
function unread(facts: SlotFacts | undefined, received: Lsn): number | null {
  if (!facts || facts.confirmedFlushLsn === null || facts.unconfirmedBytes === null) return null;
  const behind = facts.unconfirmedBytes - Number(maxLsn(received, facts.confirmedFlushLsn) - facts.confirmedFlushLsn);
  return Math.max(0, behind);
}

function lsnText(lsn: Lsn | null | undefined): string | null {
  return lsn == null ? null : formatLsn(lsn);
}
