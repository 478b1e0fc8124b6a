/**
 * The relay as a service: stands by until it leads, keeps a connection to the slot alive, and ends in good order.
 *
 * The sinks, with their breakers and sockets, live as long as the service; everything else, the leader's lock too, lives
 * as long as one connection. A leader whose connection breaks thus makes room for a standby whose connection works.
 */
import { messageOf, WalpostError } from './errors.ts';
import { CarefulPassage } from './leader/careful-destination.ts';
import { CrashRecord } from './leader/crash-record.ts';
import { fencedDestination } from './leader/fenced-destination.ts';
import { DeliveryLog } from './observe/delivery-log.ts';
import type { Readiness, RunningRelay, StatusReport } from './observe/status-report.ts';
import type { Destination } from './pipeline.ts';
import { type Ground, openGround, type Standby } from './relay-ground.ts';
import { keepTrying } from './relay-retry.ts';
import { openSinks } from './relay-sinks.ts';
import { RelaySession } from './relay-session.ts';
import { judgeStreamError } from './relay-stuck-slot.ts';
import { RelayStatus } from './relay-status.ts';
import type { RelaySurroundings } from './relay-surroundings.ts';
import type { GuardedSink } from './sinks/guarded-sink.ts';

export class RelayService implements RunningRelay {
  private readonly options: RelaySurroundings;
  private readonly reporter: RelayStatus;
  private readonly deliveryLog: DeliveryLog;
  private readonly stopping = new AbortController();
  private sinks: readonly GuardedSink[] = [];
  private finished: Promise<void> | undefined;
  private session: RelaySession | undefined;
  private isDraining = false;
  private hasLed = false;
  private leaderPid: number | undefined;
  private crashes: CrashRecord | undefined;

  constructor(options: RelaySurroundings) {
    this.options = options;
    this.reporter = new RelayStatus(options);
    const { config, clock, log, metrics } = options;
    this.deliveryLog = new DeliveryLog({
      mode: config.delivery.log,
      clock,
      onDropped: (count) => metrics.deliveryLogDropped(count),
      onError: (message) => log.warn(`the delivery log cannot be written: ${message}`),
    });
  }

  /** Streams until the signal aborts, reconnecting by itself. Rejects when only a person can help. */
  async run(signal: AbortSignal): Promise<void> {
    const { config, clock, log, metrics } = this.options;
    const ended = AbortSignal.any([signal, this.stopping.signal]);
    const { attempted: onAttempt } = this.deliveryLog;
    this.sinks = await openSinks(config, { clock, metrics, log, onAttempt });
    this.reporter.sinks = this.sinks;
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

  /** Delivers what it holds, confirms, and lets `run` resolve, as soon as connections are closed. */
  async drain(): Promise<void> {
    this.isDraining = true;
    this.crashes?.endInOrder().catch(() => undefined); // whatever happens from here on is no crash
    try {
      await this.session?.drain();
    } finally {
      this.stopping.abort();
    }
  }

  status(): Promise<StatusReport> {
    return this.reporter.report();
  }

  readiness(): Readiness {
    return this.reporter.readiness();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stopping.abort();
    await this.finished?.catch(() => undefined);
    await Promise.all(this.sinks.map((sink) => sink.close()));
    this.sinks = [];
  }

  private async connect(signal: AbortSignal): Promise<void> {
    if (this.isDraining) return;
    this.leaderPid = undefined;
    const { config, log, clock } = this.options;
    const onStandby = (standby: Standby): void => this.standBy(standby);
    const deliverExisting = this.options.deliverExisting === true && !this.hasLed;
    await using ground = await openGround({ config, log, clock, signal, onStandby, deliverExisting });
    await using _log = this.deliveryLog.writeTo(ground);
    const sinks = await this.sinksOf(ground);
    const session = new RelaySession({ config, log, clock, ground, sinks, watcher: this.reporter.watcher });
    this.session = session;
    const detach = this.reporter.attach(session);
    try {
      await runOnGround(session, ground, signal);
    } catch (error) {
      throw await judgeStreamError(error, { config, log, ground });
    } finally {
      this.session = undefined;
      detach();
      if (!ground.broken.aborted) await this.crashes?.endInOrder().catch(() => undefined);
    }
  }

  /** The sinks as this connection reaches them: fenced, and after several starts without progress one event at a time. */
  private async sinksOf(ground: Ground): Promise<readonly Destination[]> {
    const { log, clock } = this.options;
    const record = await CrashRecord.begin(ground.express, ground.cursor, this.hasLed);
    this.crashes = record;
    this.hasLed = true;
    const onOver = (): void => log.info('progress again: full speed');
    const passage = new CarefulPassage({ record, clock, onOver });
    const { starts, blamed } = record;
    if (passage.isNarrow) {
      const why =
        'the last starts ended before anything was confirmed: one event at a time, to find one that ends the process';
      log.warn({ starts, blamed: blamed.length }, why);
    }
    return this.sinks.map((sink) => fencedDestination(passage.to(sink), ground.lock));
  }

  private standBy(standby: Standby): void {
    this.reporter.standingBy(standby);
    const { holder, slot } = standby;
    if (this.leaderPid === (holder?.pid ?? 0)) return;
    this.leaderPid = holder?.pid ?? 0;
    this.options.log.info({ slot, leader: holder }, 'standing by: another process leads');
  }
}

/** Ends the moment that the ground breaks away, and then says why. */
export async function runOnGround(
  session: Pick<RelaySession, 'run'>,
  { broken }: Pick<Ground, 'broken'>,
  signal: AbortSignal,
): Promise<void> {
  try {
    await session.run(AbortSignal.any([signal, broken]));
  } catch (error) {
    if (broken.aborted && !signal.aborted) throw broken.reason;
    if (!(error instanceof WalpostError) || error.code !== 'SLOT_IN_USE') throw error;
    throw new WalpostError('CONNECTION_LOST', { detail: 'The slot was taken meanwhile.', cause: error });
  }
  if (!signal.aborted) broken.throwIfAborted();
}
