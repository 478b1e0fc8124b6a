/** One connection of the relay, from what has to come first to the last confirmation. */
import { formatLsn } from './lsn.ts';
import { boundedCall } from './observe/bounded-call.ts';
import { pruneDeliveryLog } from './observe/delivery-log.ts';
import { recordMessageMode } from './postgres/message-mode.ts';
import { PruneWatch } from './postgres/prune-watch.ts';
import { pruneAll } from './postgres/pruner.ts';
import { Relay, type RelayOptions } from './relay.ts';
import { startChores, type Chore } from './relay-chores.ts';
import { SourceWatch } from './relay-source.ts';
import { checkNotSynchronous } from './slot/synchronous-standby.ts';

/** How long a graceful stop waits for deliveries that are under way, beyond one attempt. */
const DRAIN_MARGIN_MS = 2_000;
/** How long it then waits for a database that may not answer at all; what is not confirmed comes again. */
const LAST_CONFIRMATION_MS = 2_500;

export class RelaySession {
  readonly relay: Relay;
  private readonly options: RelayOptions;
  private readonly draining = new AbortController();
  private drained: Promise<void> | undefined;
  private isStreaming = false;

  constructor(options: RelayOptions) {
    this.options = options;
    this.relay = new Relay(options);
  }

  /** From START_REPLICATION until now. */
  get streaming(): boolean {
    return this.isStreaming;
  }

  /** Streams until the signal aborts or `drain` is done; rejects when the connection ends otherwise. */
  async run(signal: AbortSignal): Promise<void> {
    const { relay } = this;
    const { ground, log, clock } = this.options;
    const { slot, custody, router, jobs, failure } = relay;
    try {
      await custody.restore(router);
      const ended = AbortSignal.any([signal, failure.signal]);
      if (!(await this.heal(ended))) return;
      await this.prepareMessages();
      const running = slot.run(ended);
      running.catch(() => undefined); // awaited below, unless something else fails first
      await Promise.race([slot.started, running]);
      await this.checkNotSynchronous();
      await using _chores = startChores(this.chores(), { clock, log, onFatal: (error) => failure.abort(error) });
      jobs.start();
      custody.start(router);
      this.isStreaming = true;
      log.info({ slot: ground.slot, epoch: String(ground.cursor.epoch) }, `streaming from ${ground.slot}`);
      await running;
      if (failure.signal.aborted) throw failure.signal.reason;
    } finally {
      this.isStreaming = false;
      await relay[Symbol.asyncDispose]();
    }
  }

  /** Stops reading, delivers what is held and can be delivered, confirms, and ends the stream. */
  drain(): Promise<void> {
    this.drained ??= this.finish();
    return this.drained;
  }

  private async finish(): Promise<void> {
    const { jobs, slot, router, confirmer } = this.relay;
    this.draining.abort();
    jobs.stop();
    this.relay.stopReading();
    await router.drain(AbortSignal.timeout(this.options.config.delivery.timeout + DRAIN_MARGIN_MS));
    await boundedCall(() => confirmer.flush(), LAST_CONFIRMATION_MS)();
    confirmer.close();
    await slot.finish();
    this.options.log.info({ confirmed: formatLsn(slot.confirmed) }, 'confirmed and closed');
  }

  /** What a lost slot will not bring goes first. False when it was told to end before that was done. */
  private async heal(ended: AbortSignal): Promise<boolean> {
    const { ground, clock, config, log } = this.options;
    const { router, failure } = this.relay;
    if (!ground.healing) return true;
    if (config.source.messages) log.error('healing reads rows: what walpost.emit wrote and the slot missed is lost');
    try {
      await ground.healing.run(router, clock, AbortSignal.any([ended, this.draining.signal]));
    } catch (error) {
      if (failure.signal.aborted) throw failure.signal.reason;
      if (!ended.aborted && !this.drained) throw error;
      await this.drained;
    }
    return !ended.aborted && !this.draining.signal.aborted;
  }

  /** The keys are known before the first message comes, and walpost.emit is an error while nobody delivers messages. */
  private async prepareMessages(): Promise<void> {
    const { config, ground } = this.options;
    const { messages } = config.source;
    if (messages) await this.relay.keys.read();
    await recordMessageMode(ground.pool, ground.cursor, messages);
  }

  /** The server may choose a standby at any time, once it has confirmed something. */
  private async checkNotSynchronous(): Promise<void> {
    const { backendPid } = this.relay.slot;
    if (backendPid !== undefined) await checkNotSynchronous(this.options.ground.pool, backendPid);
  }

  private chores(): readonly Chore[] {
    const { prune, source } = this.options.config;
    const { pool, slot } = this.options.ground;
    const { keys } = this.relay;
    const watch = new PruneWatch({ db: pool, slot, retention: prune.retention, clock: this.options.clock });
    const pruneWhenDue = async (signal: AbortSignal): Promise<void> => {
      if (await watch.isDue()) await pruneAll(pool, { ...prune, signal });
    };
    return [
      { name: 'looking for synchronous replication', every: 10_000, run: () => this.checkNotSynchronous() },
      new SourceWatch(this.options).chore,
      this.relay.jobs.chore,
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
