/**
 * READ FIRST: the relay. It stands by until it leads, keeps one connection to the slot, and ends in good order. A connection
 * is made in these steps, and made anew when it breaks. Other files call them by these names:
 *
 *   checks       leadership/preflight.ts     server, schema, source, and what this start is (starts/)
 *   leadership   leadership/leadership.ts    the lock of the slot; a standby waits here
 *   slot         leadership/takeover.ts      a new epoch of the cursor row, and a slot to stream from (starts/prepare-slot.ts)
 *   connection   connection.ts               first a healing, when rows of the table have to be sent; then the stream
 *   recovery     healing/, reconnect.ts      what an error means for the slot, and when to try again
 *
 * READ SECOND: pipeline.ts, the contracts between the stages that a connection runs.
 *
 * Four things have to do with "one connection to the slot", and each is something else: this class makes one after the
 * other; RelayConnection (connection.ts) is one of them, from the healing that may come first to the last confirmation;
 * Pipeline (wiring.ts) is the stages that it runs; SlotStream (slot/slot-stream.ts) is the first stage, which speaks the
 * replication protocol.
 *
 * The sinks, with their breakers and sockets, live as long as the relay. Everything else, the leader's lock too, lives as
 * long as one connection: a leader whose connection breaks makes room for a standby whose connection works.
 */
import { messageOf, WalpostError } from '../errors.ts';
import { CrashGuard } from '../leader/crash-guard.ts';
import { CrashRecord } from '../leader/crash-record.ts';
import { fencedDestination } from '../leader/fenced-destination.ts';
import { strangerProblem } from '../leader/lock-holder.ts';
import { DeliveryLog } from '../observe/delivery-log.ts';
import type { Readiness, RunningRelay, StatusReport } from '../observe/status-report.ts';
import type { Destination } from '../pipeline.ts';
import { CaptureWatch } from '../postgres/schema/captures.ts';
import { RoleModelWatch } from '../postgres/schema/role-model.ts';
import { AlertPush } from './alerts/alert-push.ts';
import { RelayConnection } from './connection.ts';
import { acquireLeadership } from './leadership/leadership.ts';
import { EndpointService } from './endpoint-service.ts';
import { LiveService } from './live-service.ts';
import { openSinks } from './open-sinks.ts';
import { keepTrying } from './reconnect.ts';
import { judgeStreamError } from './healing/stuck-slot.ts';
import { RelayStatus } from './status/status.ts';
import type { RelayDependencies } from './dependencies.ts';
import type { GuardedSink } from '../sinks/guard/guarded-sink.ts';
import type { LeaderTerm, Standby } from './term.ts';

export class Relay implements RunningRelay {
  private readonly options: RelayDependencies;
  private readonly reporter: RelayStatus;
  private readonly deliveryLog: DeliveryLog;
  private readonly roleModel = new RoleModelWatch();
  private readonly captures = new CaptureWatch();
  private readonly endpoints: EndpointService;
  private readonly stopping = new AbortController();
  private sinks: readonly GuardedSink[] = [];
  private live: LiveService | undefined;
  private alerts: AlertPush | undefined;
  private finished: Promise<void> | undefined;
  private connection: RelayConnection | undefined;
  private isDraining = false;
  private hasLed = false;
  private leaderPid: number | undefined;
  private crashes: CrashRecord | undefined;

  constructor(options: RelayDependencies) {
    this.options = options;
    this.endpoints = new EndpointService(options);
    this.reporter = new RelayStatus(options, this.endpoints);
    const { config, clock, log, metrics } = options;
    this.deliveryLog = new DeliveryLog({
      mode: config.delivery.log,
      leftOut: new Set(Object.keys(config.sinks).filter((name) => config.sinks[name]?.log === false)),
      clock,
      onDropped: (count) => metrics.deliveryLogDropped(count),
      onError: (message) => log.warn(`the delivery log cannot be written: ${message}`),
    });
  }

  /** Streams until the signal aborts, reconnecting by itself. Rejects when only a person can help. */
  async run(signal: AbortSignal): Promise<void> {
    const { clock, log } = this.options;
    const ended = AbortSignal.any([signal, this.stopping.signal]);
    const { attempted: onAttempt } = this.deliveryLog;
    this.live = await LiveService.start(this.options);
    this.sinks = await openSinks({
      ...this.options,
      onAttempt,
      channels: this.live?.hub,
      endpoints: this.endpoints,
    });
    this.reporter.sinks = this.sinks;
    this.alerts = await AlertPush.open(this.options);
    this.finished = keepTrying(() => this.connect(ended), {
      clock,
      signal: ended,
      onRetry: (error, wait) => {
        this.reporter.starting(messageOf(error));
        const { code, remedy } = error instanceof WalpostError ? error : {};
        log.warn({ code, remedy, waitMs: Math.round(wait) }, messageOf(error));
      },
    });
    await this.finished;
  }

  /** Delivers what it holds and confirms. `run` resolves when the connections are closed. */
  async drain(): Promise<void> {
    this.isDraining = true;
    this.crashes?.recordCleanShutdown().catch(() => undefined); // whatever happens from here on is no crash
    try {
      await this.connection?.drain();
    } finally {
      this.live?.hub.close('stopping');
      this.stopping.abort();
    }
  }

  status(): Promise<StatusReport> {
    return this.reporter.report();
  }

  numbers(): Promise<StatusReport> {
    return this.reporter.report(true);
  }

  readiness(): Readiness {
    return this.reporter.readiness();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stopping.abort();
    await this.finished?.catch(() => undefined);
    await Promise.all(this.sinks.map((sink) => sink.close()));
    this.sinks = [];
    await this.live?.[Symbol.asyncDispose]();
    await this.alerts?.[Symbol.asyncDispose]();
  }

  private async connect(signal: AbortSignal): Promise<void> {
    if (this.isDraining) return;
    this.leaderPid = undefined;
    const { config, log, clock } = this.options;
    const onStandby = (standby: Standby): void => this.standBy(standby);
    // checks, leadership, slot
    await using term = await acquireLeadership({ config, log, clock, signal, onStandby });
    await using _log = this.deliveryLog.writeTo(term);
    using _endpoints = this.endpoints.lead(term);
    const sinks = await this.sinksOf(term);
    // connection
    const { roleModel, captures } = this;
    const connection = new RelayConnection({
      config,
      log,
      clock,
      term,
      sinks,
      roleModel,
      captures,
      endpoints: this.endpoints,
      watcher: this.reporter.watcher,
    });
    this.connection = connection;
    await using _live = this.live?.lead(term, () => connection.parts.ledger.watermark);
    const detach = this.reporter.attach(connection);
    await using _alerts = this.alerts?.lead(term, (pool) => this.reporter.alerts(pool));
    let isDefect = false;
    try {
      await runDuringTerm(connection, term, signal);
    } catch (error) {
      isDefect = error instanceof WalpostError && error.code === 'DEFECT';
      throw await judgeStreamError(error, { config, log, term }); // recovery; keepTrying calls `connect` again
    } finally {
      this.connection = undefined;
      detach();
      // A fault of walpost counts as a death: if one event causes it at each start, the crash guard finds that event.
      if (!term.revoked.aborted && !isDefect) await this.crashes?.recordCleanShutdown().catch(() => undefined);
    }
  }

  /** The sinks as this connection reaches them: closed once the lock is lost, and behind the crash guard. */
  private async sinksOf(term: LeaderTerm): Promise<readonly Destination[]> {
    const { log, clock } = this.options;
    const record = await CrashRecord.begin(term.controlPool, term.cursor, this.hasLed);
    this.crashes = record;
    this.hasLed = true;
    const onFullSpeed = (): void => log.info('events are confirmed again: full speed');
    const crashGuard = new CrashGuard({ record, clock, onFullSpeed });
    const { starts, blamed } = record;
    if (crashGuard.isSerial) {
      const why =
        'the last starts ended before anything was confirmed: one event at a time, to find one that ends the process';
      log.warn({ starts, blamed: blamed.length }, why);
    }
    return this.sinks.map((sink) => fencedDestination(crashGuard.guard(sink), term.lock));
  }

  private standBy(standby: Standby): void {
    this.reporter.standingBy(standby);
    const { holder, slot } = standby;
    const { log } = this.options;
    if (this.leaderPid === (holder?.pid ?? 0)) return;
    this.leaderPid = holder?.pid ?? 0;
    const problem = strangerProblem(slot, holder);
    if (problem) return log.error({ slot, code: problem.code, holder, remedy: problem.remedy }, problem.message);
    const { pid, address } = holder ?? {};
    log.info({ slot, leader: holder && { pid, address } }, 'standing by: another process leads');
  }
}

/** Runs the connection until the term is revoked, and then throws the reason. */
export async function runDuringTerm(
  connection: Pick<RelayConnection, 'run'>,
  { revoked }: Pick<LeaderTerm, 'revoked'>,
  signal: AbortSignal,
): Promise<void> {
  try {
    await connection.run(AbortSignal.any([signal, revoked]));
  } catch (error) {
    if (revoked.aborted && !signal.aborted) throw revoked.reason;
    if (!(error instanceof WalpostError) || error.code !== 'SLOT_IN_USE') throw error;
    throw new WalpostError('CONNECTION_LOST', { detail: 'The slot was taken meanwhile.', cause: error });
  }
  if (!signal.aborted) revoked.throwIfAborted();
}
