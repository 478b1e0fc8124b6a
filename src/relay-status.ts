/** What the relay tells about itself: readiness from memory, the status with one look at the database. */
import type { Refusal } from './emit-key.ts';
import { WalpostError } from './errors.ts';
import type { Event, Origin } from './event.ts';
import type { Readiness, StatusReport } from './observe/status-report.ts';
import type { DeadLetter } from './pipeline.ts';
import type { Relay, RelayWatcher } from './relay.ts';
import { readFacts, NO_FACTS } from './relay-facts.ts';
import type { Standby } from './relay-ground.ts';
import type { RelaySession } from './relay-session.ts';
import type { RelaySurroundings } from './relay-surroundings.ts';
import type { GuardedSink } from './sinks/guarded-sink.ts';
import { VERSION } from './version.ts';

const POSTGRES_EPOCH_MS = Date.UTC(2000, 0, 1);

/** Milliseconds since the Unix epoch. */
function committedAtMs(origin: Origin): number | undefined {
  return origin.committedAtMicros === null ? undefined : POSTGRES_EPOCH_MS + Number(origin.committedAtMicros) / 1000;
}

export class RelayStatus {
  sinks: readonly GuardedSink[] = [];
  private readonly options: RelaySurroundings;
  private attached: RelaySession | undefined;
  private standby: Standby | undefined;
  private readonly refusals = new Set<Refusal>();
  private ready: Readiness = { ready: false, role: 'starting', detail: 'connecting' };

  constructor(options: RelaySurroundings) {
    this.options = options;
  }

  /** Turns what the router does into numbers; called once a batch. */
  readonly watcher: RelayWatcher = {
    received: (count: number): void => this.options.metrics.received(count),
    refused: (reason: Refusal): void => this.messageRefused(reason),
    delivered: (sink: string, count: number, oldest: Event): void => {
      const { metrics, clock } = this.options;
      metrics.delivered(sink, count);
      const committed = committedAtMs(oldest.origin);
      if (committed !== undefined) metrics.commitToDelivery(sink, (clock.wallTime() - committed) / 1000);
    },
    parked: (sink: string, count: number): void => this.options.metrics.parked(sink, count),
    deadLettered: ({ sink, reason, item }: DeadLetter): void => {
      this.options.metrics.deadLettered(sink, reason, 1);
      const { eventId, organizationId } = item;
      this.options.log.warn(
        { sink, reason, eventId, organizationId },
        'a dead letter: see `walpost dead-letters list`',
      );
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
  attach(session: RelaySession): () => void {
    this.starting('connecting');
    this.attached = session;
    return () => {
      this.attached = undefined;
      this.starting('connecting');
    };
  }

  readiness(): Readiness {
    if (!this.attached?.streaming) return this.ready;
    return { ready: true, role: 'leader', detail: `streaming from ${this.attached.relay.ground.slot}` };
  }

  async report(): Promise<StatusReport> {
    const { config, clock } = this.options;
    const relay = this.attached?.relay;
    const source = relay?.ground ?? this.standby;
    const { role, detail } = this.readiness();
    const { lag, ...facts } = source ? await readFacts(source, relay?.slot) : NO_FACTS;
    const { seconds, ...memory } = relay ? this.inMemory(relay) : NOTHING_IN_MEMORY;
    return {
      version: VERSION,
      at: new Date(clock.wallTime()).toISOString(),
      leader: { role, epoch: relay ? Number(relay.ground.cursor.epoch) : null, detail },
      ...facts,
      ...memory,
      lag: { ...lag, seconds },
      breakers: this.sinks.map((sink) => ({ sink: sink.name, state: sink.breakerState })),
      budgetBytes: config.memory.budget,
      stalls: relay?.custody.stalls ?? [],
    };
  }

  /** Said once for each reason: any role can write as many as it likes. */
  private messageRefused(reason: Refusal): void {
    const { metrics, log } = this.options;
    metrics.messageRefused(reason);
    if (this.refusals.has(reason)) return;
    this.refusals.add(reason);
    const { code, message } = new WalpostError('MESSAGE_REFUSED', { detail: `Reason: ${reason}.` });
    log.warn({ code, reason }, message);
  }

  private inMemory({ router, ledger, slot }: Relay): InMemory {
    const { clock } = this.options;
    const { lanes, bufferedBytes } = router.state();
    const committed = ledger.oldestOpen && committedAtMs(ledger.oldestOpen);
    return {
      lanes,
      bufferedBytes,
      openTransactions: ledger.openTransactions,
      seconds: committed === undefined ? 0 : Math.max(0, (clock.wallTime() - committed) / 1000),
      lastReceivedAgeSeconds: (clock.now() - slot.lastReceivedAt) / 1000,
    };
  }
}

type InMemory = Pick<StatusReport, 'lanes' | 'bufferedBytes' | 'openTransactions' | 'lastReceivedAgeSeconds'> &
  Pick<StatusReport['lag'], 'seconds'>;

const NOTHING_IN_MEMORY: InMemory = {
  lanes: null,
  bufferedBytes: null,
  openTransactions: null,
  seconds: null,
  lastReceivedAgeSeconds: null,
};
