/** What the relay reports about itself: its readiness from memory, its status with facts of the database. */
import type pg from 'pg';
import type { MessageRefusal } from '../../emit-key.ts';
import { WalpostError } from '../../errors.ts';
import type { Event, Origin } from '../../event.ts';
import { holderText, strangerProblem } from '../../leader/lock-holder.ts';
import type { EndpointService } from '../endpoint-service.ts';
import { endpointsStatus } from './endpoints-status.ts';
import { FailingLog } from '../../observe/failing-log.ts';
import { type Alert, oldestSeconds, type Readiness, type StatusReport } from '../../observe/status-report.ts';
import type { WalHolder } from '../../observe/wal-status.ts';
import { unixMs } from '../../pg-time.ts';
import type { DeadLetter, FailingLane, LaneName } from '../../pipeline.ts';
import type { RelayConnection } from '../connection.ts';
import type { RelayDependencies, RelayWatcher } from '../dependencies.ts';
import type { Standby } from '../term.ts';
import type { PipelineParts } from '../wiring.ts';
import { joinAlerts, ownAlerts, readAlerts } from './alerts.ts';
import { NO_FACTS, readDatabaseFacts } from './database-facts.ts';
import { REFUSING_REMEDY } from '../../observe/destination-remedy.ts';
import { type DatedFacts, type FactsSource, RecentFacts } from './recent-facts.ts';
import { stallHolder, withOwn } from './holders.ts';
import { oldestLane } from './oldest-lane.ts';
import { WalRate, walBudget } from './wal-budget.ts';
import type { Refusal as RefusedLane } from '../../router/lanes/refusal.ts';
import type { SlotStream } from '../../slot/slot-stream.ts';
import { maxLsn } from '../../lsn.ts';
import type { GuardedSink } from '../../sinks/guard/guarded-sink.ts';
import { VERSION } from '../../version.ts';

const HEALING = 'healing: rows that the stream will not bring are sent from the table';

/** Milliseconds since the Unix epoch. */
function committedAtMs(origin: Origin): number | undefined {
  return origin.committedAtMicros === null ? undefined : unixMs(origin.committedAtMicros);
}

const ACCEPTS_AGAIN = 'the destination accepts events again';
const FIRST_GIVEN_UP = 'the event that the destination refused first is given up; those behind it are tried';

export class RelayStatus {
  sinks: readonly GuardedSink[] = [];
  private readonly options: RelayDependencies;
  private readonly endpoints: EndpointService | undefined;
  private attached: RelayConnection | undefined;
  private standby: Standby | undefined;
  private readonly refusals = new Set<MessageRefusal>();
  private readonly failingLog: FailingLog;
  private readonly walRate = new WalRate();
  private readonly recentFacts: RecentFacts;
  private readonly counts = { received: 0, delivered: 0 };
  private lastMeasured = -Infinity;
  /** Looks in a row at which nobody was found to lead. */
  private looksWithoutLeader = 0;
  private ready: Readiness = { ready: false, degraded: false, role: 'starting', detail: 'connecting' };

  constructor(options: RelayDependencies, endpoints?: EndpointService) {
    this.options = options;
    this.endpoints = endpoints;
    this.failingLog = new FailingLog(options.log, options.clock, (lane) => endpoints?.shownAt(lane));
    this.recentFacts = new RecentFacts(options.clock);
  }

  /** Turns what the stages do into metrics and log lines; called once a batch. */
  readonly watcher: RelayWatcher = {
    received: (count: number, origin: Origin): void => {
      this.counts.received += count;
      this.options.metrics.received(count);
      this.commitToReceive(origin);
    },
    visibilityWait: (ms: number): void => this.options.metrics.visibilityWait(ms / 1000),
    choreFailed: (chore: string): void => this.options.metrics.choreFailed(chore),
    refused: (reason: MessageRefusal): void => this.messageRefused(reason),
    delivered: (sink: string, count: number, oldest: Event): void => {
      const { metrics, clock } = this.options;
      this.counts.delivered += count;
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
    refusing: (refusal: RefusedLane): void => this.refusing(refusal),
    refusingOver: ({ sink, organizationId, events, since }: RefusedLane, isAccepted: boolean): void => {
      const refusedForSeconds = Math.round((this.options.clock.now() - since) / 1000);
      const fields = { sink, organizationId, refused: events, refusedForSeconds };
      this.options.log.info(fields, isAccepted ? ACCEPTS_AGAIN : FIRST_GIVEN_UP);
    },
    failing: (lanes: readonly FailingLane[], cut: boolean, isPaused: (lane: LaneName) => boolean): void =>
      this.failingLog.round(lanes, cut, isPaused),
    windowWait: (ms: number): void => this.options.metrics.windowWait(ms / 1000),
  };

  starting(detail: string): void {
    this.standby = undefined;
    this.looksWithoutLeader = 0;
    this.ready = { ready: false, degraded: false, role: 'starting', detail };
  }

  /** Another process leads and this one could take over, or a stranger holds the lock and no process can lead. */
  standingBy(standby: Standby): void {
    const { holder, slot } = standby;
    this.standby = standby;
    this.looksWithoutLeader = holder ? 0 : this.looksWithoutLeader + 1;
    this.failingLog.forget();
    const problem = strangerProblem(slot, holder);
    const of = { degraded: false, role: 'standby' } as const;
    if (problem) this.ready = { ready: false, ...of, detail: problem.message };
    else if (this.looksWithoutLeader > 1)
      this.ready = { ready: false, ...of, detail: `nobody is found to lead ${slot}` };
    else {
      const leader = holder ? holderText(holder) : 'another process';
      this.ready = { ready: true, ...of, detail: `${leader} leads ${slot}` };
    }
  }

  /** Reports about this connection until the returned function is called. */
  attach(connection: RelayConnection): () => void {
    this.starting('connecting');
    this.attached = connection;
    return () => {
      this.attached = undefined;
      this.starting('connecting');
    };
  }

  readiness(): Readiness {
    if (this.attached?.healing === true) return { ...this.ready, detail: HEALING };
    if (!this.attached?.streaming) return this.ready;
    const { term, storedEvents } = this.attached.parts;
    const stalls = storedEvents.stalls.map(({ what }) => `; ${what} fails`); // anybody may ask: /status says why
    return {
      ready: true,
      degraded: stalls.length > 0,
      role: 'leader',
      detail: `streaming from ${term.slot}${stalls.join('')}`,
    };
  }

  /** For the metrics `heldBy`, `waiting` and `refusing` are left out: they name what no metric has, and take long when many lanes wait. */
  async report(numbersOnly = false): Promise<StatusReport> {
    const { config, clock } = this.options;
    const parts = this.attached?.parts;
    const source = parts?.term ?? this.standby;
    const { role, detail } = this.readiness();
    const read = await this.readFacts(source, parts?.slot, numbersOnly);
    const { sessions } = read.facts;
    const { seconds, ...memory } = parts ? this.inMemory(parts, numbersOnly) : NOTHING_IN_MEMORY;
    const breakers = this.breakers();
    const judged = { ...this.judge(read, parts, seconds), breakers };
    const { loginProblem } = this.attached ?? {};
    return {
      version: VERSION,
      at: new Date(clock.wallTime()).toISOString(),
      leader: { role, epoch: parts ? Number(parts.term.cursor.epoch) : null, detail },
      ...judged,
      ...memory,
      processes: sessions && { leader: sessions.leader, standbys: sessions.standbys },
      counts: parts ? { ...this.counts } : null,
      failing: parts ? this.failing() : null,
      endpoints: parts ? endpointsStatus(this.endpoints, this.failingLog.endpoints(), clock) : null,
      budgetBytes: config.memory.budget,
      // One that stands by sends nothing: its breakers are as they were when it last led.
      alerts: ownAlerts({ ...judged, breakers: parts ? breakers : null, loginProblem }, sessions, clock.wallTime()),
    };
  }

  /** Of the leader: its own alerts and those of the database. Undefined while nothing is known; throws when the database fails. */
  async alerts(pool: pg.Pool): Promise<readonly Alert[] | undefined> {
    const parts = this.attached?.parts;
    if (!parts) return undefined;
    const { term, slot } = parts;
    const received = maxLsn(slot.received, slot.serverEnd);
    const facts = await readDatabaseFacts(pool, term.slot, { received });
    const judged = this.judge({ facts, at: this.options.clock.now() }, parts, null);
    if (judged.heldBy === null) return undefined; // what could not be asked has not ended
    const own = ownAlerts(
      { ...judged, breakers: this.breakers(), loginProblem: this.attached?.loginProblem },
      facts.sessions,
      this.options.clock.wallTime(),
    );
    const all = joinAlerts(own, await readAlerts(pool));
    // While this process heals, nobody reads from its slot.
    return all.filter(({ name, subject }) => name !== 'slot_inactive' || subject !== term.slot);
  }

  /** What both the process and the database tell. */
  private judge({ facts: read, at }: DatedFacts, parts: PipelineParts | undefined, seconds: number | null) {
    const { sessions: _sessions, walEnd, heldBy, ...facts } = read;
    const lag = { ...read.lag, seconds, oldestSeconds: oldestSeconds(seconds, read.parked) };
    return {
      ...facts,
      lag,
      heldBy: heldBy && (parts ? withOwn(heldBy, this.ownHolders(parts)) : heldBy),
      wal: walBudget(lag, this.options.config.source.wal_warn, this.walRate.seen(walEnd, at)),
      stalls: parts?.storedEvents.stalls ?? null,
    };
  }

  /** A database that does not answer leaves its part of the status unknown. */
  private async readFacts(
    source: FactsSource | undefined,
    stream: SlotStream | undefined,
    numbersOnly: boolean,
  ): Promise<DatedFacts> {
    const at = this.options.clock.now();
    if (!source) return { facts: NO_FACTS, at };
    const received = stream && maxLsn(stream.received, stream.serverEnd);
    if (numbersOnly) return this.recentFacts.read(source, received);
    const facts = await readDatabaseFacts(source.pool, source.slot, { received }).catch(() => NO_FACTS);
    return { facts, at: this.options.clock.now() };
  }

  private ownHolders(parts: PipelineParts): readonly WalHolder[] {
    const lane = oldestLane(parts, this.options.clock);
    return [...parts.storedEvents.stalls.map(stallHolder), ...(lane ? [lane] : [])];
  }

  /** For at most one transaction a millisecond: those of one moment arrive alike. */
  private commitToReceive(origin: Origin): void {
    const { metrics, clock } = this.options;
    if (origin.receivedAt - this.lastMeasured < 1) return;
    this.lastMeasured = origin.receivedAt;
    const committed = committedAtMs(origin);
    if (committed === undefined) return;
    metrics.commitToReceive((clock.wallTime() - (clock.now() - origin.receivedAt) - committed) / 1000);
  }

  private breakers(): NonNullable<StatusReport['breakers']> {
    return this.sinks.flatMap(({ name, breakerState: state }) => (state === null ? [] : [{ sink: name, state }]));
  }

  private failing(): NonNullable<StatusReport['failing']> {
    const counts = this.failingLog.organizations();
    return this.sinks.map(({ name }) => ({ sink: name, organizations: counts.get(name) ?? 0 }));
  }

  /** Logged once for each reason, since any role can write such messages without limit. */
  private messageRefused(reason: MessageRefusal): void {
    const { metrics, log } = this.options;
    metrics.messageRefused(reason);
    if (this.refusals.has(reason)) return;
    this.refusals.add(reason);
    const { code, message } = new WalpostError('MESSAGE_REFUSED', { detail: `Reason: ${reason}.` });
    log.warn({ code, reason }, message);
  }

  /** Logged once, when it begins. No event of the lane is given up, so only a person or the destination can end it. */
  private refusing({ sink, organizationId, reason, events, eventIds, types }: RefusedLane): void {
    const [eventId] = eventIds;
    // The logger redacts a field named `events`.
    const fields = {
      sink,
      organizationId,
      eventId,
      refused: events,
      eventTypes: types,
      reason,
      remedy: REFUSING_REMEDY,
    };
    this.options.log.warn(fields, 'the destination refuses every event of an organization that it is sent; they wait');
  }

  private inMemory({ router, ledger, slot }: PipelineParts, numbersOnly: boolean): InMemory {
    const { clock } = this.options;
    const { lanes, refusals, bufferedBytes } = router.state(numbersOnly);
    const committed = ledger.oldestOpen && committedAtMs(ledger.oldestOpen);
    return {
      lanes,
      refusing: refusals.map(({ types: eventTypes, since, ...rest }) => ({
        ...rest,
        eventTypes,
        since: new Date(clock.wallTime() - (clock.now() - since)).toISOString(),
      })),
      bufferedBytes,
      openTransactions: ledger.openTransactions,
      seconds: committed === undefined ? 0 : Math.max(0, (clock.wallTime() - committed) / 1000),
      lastReceivedAgeSeconds: (clock.now() - slot.lastReceivedAt) / 1000,
    };
  }
}

type InMemory = Pick<
  StatusReport,
  'lanes' | 'refusing' | 'bufferedBytes' | 'openTransactions' | 'lastReceivedAgeSeconds'
> &
  Pick<StatusReport['lag'], 'seconds'>;

const NOTHING_IN_MEMORY: InMemory = {
  lanes: null,
  refusing: null,
  bufferedBytes: null,
  openTransactions: null,
  seconds: null,
  lastReceivedAgeSeconds: null,
};
