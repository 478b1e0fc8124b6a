/**
 * The step `connection` of relay.ts: from the healing that may have to come first to the last confirmation.
 *
 * It runs the stages that wiring.ts has put together. One of them, slot/slot-stream.ts, is the replication connection itself.
 */
import { setImmediate } from 'node:timers/promises';
import type pg from 'pg';
import { longestAttempt } from '../config/longest-attempt.ts';
import type { WalpostError } from '../errors.ts';
import { formatLsn } from '../lsn.ts';
import { boundedCall } from '../observe/bounded-call.ts';
import { pruneDeliveryLog } from '../observe/delivery-log.ts';
import { LaneRecords, MOST_FAILING } from '../parking/lane-records.ts';
import type { FailingLane } from '../pipeline.ts';
import { recordMessageMode } from '../emit/message-mode.ts';
import { PruneWatch } from '../postgres/retention/prune-watch.ts';
import { pruneAll } from '../postgres/retention/prune.ts';
import { startChores, type Chore } from './chores.ts';
import type { RelayOptions } from './dependencies.ts';
import { SourceWatch } from './healing/source-watch.ts';
import { LoginWatch } from './login-watch.ts';
import { type Pipeline, type PipelineParts, wirePipeline } from './wiring.ts';
import { checkNotSynchronous } from '../slot/synchronous-standby.ts';

/** How long a graceful stop waits for deliveries in flight, beyond the timeout of one attempt. */
const DELIVERY_MARGIN_MS = 2_000;
/** How long it then waits for a database that may not answer at all; what is not confirmed comes again. */
const LAST_CONFIRMATION_MS = 2_500;
/** The check takes some 100 ms of the server, so it comes after the start. */
const ROLE_MODEL_AFTER_MS = 5_000;

export class RelayConnection {
  private readonly pipeline: Pipeline;
  private readonly options: RelayOptions;
  private readonly draining = new AbortController();
  private drained: Promise<void> | undefined;
  private isStreaming = false;
  private isHealing = false;
  private readonly login: LoginWatch;

  constructor(options: RelayOptions) {
    this.options = options;
    const { term, config, log } = options;
    this.login = new LoginWatch({ pool: term.pool, url: config.database.url, clock: options.clock, log });
    this.pipeline = wirePipeline(options);
  }

  get parts(): PipelineParts {
    return this.pipeline.parts;
  }

  /** Why its login could not stream anew; undefined when it could. */
  get loginProblem(): WalpostError | undefined {
    return this.login.problem;
  }

  /** From START_REPLICATION until now. */
  get streaming(): boolean {
    return this.isStreaming;
  }

  /** Rows of the table are being sent, and the stream has not begun. */
  get healing(): boolean {
    return this.isHealing;
  }

  /** Streams until the signal aborts or `drain` is done; rejects when the connection ends otherwise. */
  async run(signal: AbortSignal): Promise<void> {
    await using _pipeline = this.pipeline;
    const { term, log, clock } = this.options;
    const { slot, storedEvents, router, jobs, failure } = this.parts;
    try {
      await this.readEndpoints(term.healing !== undefined);
      await storedEvents.restore(router);
      storedEvents.start(router); // a healing may take long, and a sink may be paused meanwhile
      const ended = AbortSignal.any([signal, failure.signal]);
      if (!(await this.runHealing(ended))) return;
      if (term.healing) await this.readEndpoints(false);
      await this.prepareMessages();
      const running = slot.run(ended);
      running.catch(() => undefined); // awaited below, unless something else fails first
      await Promise.race([slot.started, running]);
      await this.checkNotSynchronous();
      await using _chores = startChores(this.chores(), {
        clock,
        log,
        onFatal: (error) => failure.abort(error),
        onFailed: (name) => this.options.watcher.choreFailed(name),
      });
      jobs.start();
      this.isStreaming = true;
      log.info({ slot: term.slot, epoch: String(term.cursor.epoch) }, `streaming from ${term.slot}`);
      await running;
      if (failure.signal.aborted) throw failure.signal.reason;
    } finally {
      this.isStreaming = false;
    }
  }

  /** Stops reading, delivers what is held and can be delivered, confirms, and ends the stream. */
  drain(): Promise<void> {
    this.drained ??= this.finish();
    return this.drained;
  }

  private async finish(): Promise<void> {
    const { jobs, slot, router, confirmer } = this.parts;
    this.draining.abort();
    jobs.stop();
    this.pipeline.stopReading();
    await router.drain(AbortSignal.timeout(longestAttempt(this.options.config) + DELIVERY_MARGIN_MS));
    await boundedCall(() => confirmer.flush(), LAST_CONFIRMATION_MS)();
    confirmer.close();
    await slot.finish();
    this.options.log.info({ confirmed: formatLsn(slot.confirmed) }, 'confirmed and closed');
  }

  /** Sends what a lost slot will not bring, before the stream. False when the connection was told to end before that was done. */
  private async runHealing(ended: AbortSignal): Promise<boolean> {
    const { term, clock, config, log, endpoints } = this.options;
    const { router, failure } = this.parts;
    if (!term.healing) return true;
    if (config.source.messages) log.error('healing reads rows: events of walpost.emit that no slot has sent are lost');
    this.isHealing = true;
    try {
      const beginning = (snapshot: pg.ClientBase): Promise<void> => endpoints.readNow(snapshot);
      await term.healing.run(router, clock, AbortSignal.any([ended, this.draining.signal]), beginning);
    } catch (error) {
      if (failure.signal.aborted) throw failure.signal.reason;
      if (!ended.aborted && !this.drained) throw error;
      await this.drained;
    } finally {
      this.isHealing = false;
    }
    return !ended.aborted && !this.draining.signal.aborted;
  }

  /** The endpoints of the place where the stream begins; before a healing, those of now. */
  private async readEndpoints(now: boolean): Promise<void> {
    const { term, endpoints } = this.options;
    await endpoints.holdInCopy(term);
    if (now) await endpoints.readNow(term.pool);
    else await endpoints.readAtStart(term);
    for (const sink of endpoints.sinks) this.parts.router.pauseChanged({ sink });
  }

  /** The keys are read before the first message arrives. The cursor row tells walpost.emit whether messages are delivered. */
  private async prepareMessages(): Promise<void> {
    const { config, term } = this.options;
    const { messages } = config.source;
    if (messages) await this.parts.keys.read();
    await recordMessageMode(term.pool, term.cursor, messages);
  }

  /** The server may choose this connection as a synchronous standby at any time, once it has confirmed something. */
  private async checkNotSynchronous(): Promise<void> {
    const { backendPid } = this.parts.slot;
    if (backendPid !== undefined) await checkNotSynchronous(this.options.term.pool, backendPid);
  }

  /** In three turns of the event loop: with a hundred thousand lanes each part takes tens of milliseconds, and a scrape would wait for all. */
  private async failing(): Promise<readonly FailingLane[]> {
    const lanes: FailingLane[] = [];
    const { router } = this.parts;
    for (const lane of router.failing()) if (lanes.push(lane) === MOST_FAILING) break;
    await setImmediate();
    this.options.watcher.failing(lanes, lanes.length === MOST_FAILING, (lane) => router.isPaused(lane));
    await setImmediate();
    return lanes;
  }

  /** In a copy nothing is sent to endpoints until a person has adopted them. */
  private async checkHeld(): Promise<void> {
    const { endpoints, term } = this.options;
    if (await endpoints.holdInCopy(term)) for (const sink of endpoints.sinks) this.parts.router.pauseChanged({ sink });
  }

  private chores(): readonly Chore[] {
    const { prune, source } = this.options.config;
    const { roleModel, captures, log, endpoints } = this.options;
    const { pool, slot } = this.options.term;
    const { keys, jobs, router, ledger } = this.parts;
    const records = new LaneRecords(pool, this.options.term.cursor, this.options.clock);
    const watch = new PruneWatch({ db: pool, slot, retention: prune.retention, clock: this.options.clock });
    const pruneWhenDue = async (signal: AbortSignal): Promise<void> => {
      if (!(await watch.isDue())) return;
      await pruneAll(pool, { ...prune, signal }).catch((error: unknown) => {
        watch.again(); // somebody else may be pruning
        throw error;
      });
    };
    const warn = (line: string, remedy: string): void => log.warn({ remedy }, line);
    const checkRoles = (): Promise<void> => roleModel.check(pool, warn);
    const checkCaptures = (): Promise<void> => captures.check(pool, warn);
    return [
      { name: 'checking for synchronous replication', every: 10_000, run: () => this.checkNotSynchronous() },
      new SourceWatch(this.options).chore,
      this.login.chore,
      ...jobs.chores,
      { name: 'disabling endpoints that fail', every: 10_000, run: () => endpoints.disableFailing(router.failing()) },
      {
        name: 'forgetting endpoints that have ended',
        every: 10_000,
        run: async () => endpoints.forgetEnded(ledger.watermark, router),
      },
      { name: 'looking whose endpoints these are', every: 5_000, run: () => this.checkHeld() },
      { name: 'writing which lanes fail', every: 1_000, run: async () => records.round(await this.failing()) },
      {
        name: 'checking the roles and rights of walpost',
        first: ROLE_MODEL_AFTER_MS,
        every: 3_600_000,
        run: checkRoles,
      },
      { name: 'looking at the captures of tables', first: ROLE_MODEL_AFTER_MS, every: 600_000, run: checkCaptures },
      ...(source.messages ? [{ name: 'reading the keys of walpost.emit', every: 30_000, run: () => keys.read() }] : []),
      {
        name: 'removing old rows of the delivery log',
        every: 600_000,
        run: (signal) => pruneDeliveryLog(pool, signal),
      },
      ...(prune.enabled ? [{ name: 'pruning', every: prune.every, run: pruneWhenDue }] : []),
    ];
  }
}
