/**
 * READ FIRST: the way of the data, from the slot to the confirmation.
 *
 *   slot -> decoder -> router -> sinks -> ack
 *
 * One relay is one connection to the slot. It ends with the connection, and what was not confirmed by then comes again on
 * the next one; relay-service.ts makes the next one.
 */
import { Confirmer } from './ack/confirmer.ts';
import { Ledger } from './ack/ledger.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config/schema.ts';
import { createDecoder } from './decoder/create-decoder.ts';
import { pgoutputOptions, wal2jsonOptions } from './decoder/start-options.ts';
import type { Origin } from './event.ts';
import { withPageTickets } from './jobs/page-ticket.ts';
import { formatLsn, LSN_ZERO, type Lsn, maxLsn } from './lsn.ts';
import { pruneDeliveryLog } from './observe/delivery-log.ts';
import { boundedCall } from './observe/bounded-call.ts';
import type { Logger } from './observe/log.ts';
import type { Failpoint } from './parking/parking-lot.ts';
import type { Decoder, Destination, Step } from './pipeline.ts';
import { pruneAll } from './postgres/pruner.ts';
import { currentSnapshot, seesXid } from './postgres/snapshot.ts';
import { startChores, type Chore } from './relay-chores.ts';
import { RelayCustody } from './relay-custody.ts';
import type { Ground } from './relay-ground.ts';
import { RelayJobs } from './relay-jobs.ts';
import { Router, type RouterWatcher } from './router/router.ts';
import { VisibilityGate } from './router/visibility-gate.ts';
import { SlotStream } from './slot/slot-stream.ts';
import { checkNotSynchronous } from './slot/synchronous-standby.ts';

export interface RelayWatcher extends RouterWatcher {
  /** A transaction brought so many events and poison rows. */
  received(count: number): void;
}

export interface RelayOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: Clock;
  readonly ground: Ground;
  readonly sinks: readonly Destination[];
  readonly watcher: RelayWatcher;
  readonly failpoint?: ((name: Failpoint) => void) | undefined;
}

/** How long a graceful stop waits for deliveries that are under way, beyond one attempt. */
const DRAIN_MARGIN_MS = 2_000;
/** How long it then waits for a database that may not answer at all; what is not confirmed comes again. */
const LAST_CONFIRMATION_MS = 2_500;

export class Relay {
  readonly slot: SlotStream;
  readonly decoder: Decoder;
  readonly router: Router;
  readonly ledger: Ledger;
  readonly ground: Ground;
  readonly custody: RelayCustody;
  private readonly confirmer: Confirmer;
  private readonly gate: VisibilityGate;
  private readonly jobs: RelayJobs;
  private readonly options: RelayOptions;
  private readonly failure = new AbortController();
  private readonly draining = new AbortController();
  private drained: Promise<void> | undefined;
  private transaction: Origin | undefined;
  private received = 0;
  private isStreaming = false;

  constructor(options: RelayOptions) {
    const { config, log, clock, ground, sinks, watcher } = options;
    const { source } = config;
    const fail = (error: unknown): void => this.failure.abort(error);
    this.options = options;
    this.ground = ground;

    // 1 slot: bytes arrive
    this.slot = new SlotStream({
      url: config.database.url,
      slot: ground.slot,
      plugin: source.plugin,
      pluginOptions: source.plugin === 'pgoutput' ? pgoutputOptions(source) : wal2jsonOptions(source),
      handler: {
        data: (payload) => this.take(this.decoder.decode(payload)),
        keepalive: (serverEnd) => {
          this.ledger.keepalive(serverEnd);
          this.router.passed(serverEnd);
        },
      },
      clock,
      walSenderTimeout: ground.server.walSenderTimeoutMs,
    });

    // 2 decoder: bytes become steps
    this.decoder = createDecoder(source, {
      onIgnored: (kind, table) => log.warn({ kind, table }, 'a change that is no insert of the outbox was ignored'),
    });

    // 3 router: steps become batches, which leave when a new snapshot sees their transactions; 4 sinks: batches leave
    this.gate = this.createGate();
    const received = (): Lsn => maxLsn(this.slot.received, ground.healing?.position ?? LSN_ZERO);
    this.custody = new RelayCustody({ ...options, received, fail });
    this.ledger = new Ledger(() => this.confirmer.advanced());
    this.router = new Router({
      config,
      destinations: sinks,
      settlement: withPageTickets(this.ledger),
      deadLetters: this.custody.letters,
      lot: this.custody.lot,
      clock,
      watcher,
      askVisible: () => this.gate.ask(),
      onPressure: (full) => (full ? this.slot.pause() : this.slot.resume()),
    });

    // 5 ack: the cursor row moves, then the slot is told
    this.confirmer = new Confirmer({
      ledger: this.ledger,
      clock,
      writeCursor: ground.cursor.advance,
      confirmSlot: (lsn) => this.slot.confirm(lsn),
      onError: fail,
    });

    // beside: checkpoints, and jobs that send from the table
    this.jobs = new RelayJobs({ ...options, outlet: this.router, watermark: () => this.ledger.watermark, fail });
  }

  /** From START_REPLICATION until now. */
  get streaming(): boolean {
    return this.isStreaming;
  }

  /** Streams until the signal aborts or `drain` is done; rejects when the connection ends otherwise. */
  async run(signal: AbortSignal): Promise<void> {
    const { ground, log, clock } = this.options;
    try {
      await this.custody.restore(this.router);
      const ended = AbortSignal.any([signal, this.failure.signal]);
      if (!(await this.heal(ended))) return;
      const running = this.slot.run(ended);
      running.catch(() => undefined); // awaited below, unless something else fails first
      await Promise.race([this.slot.started, running]);
      await this.checkNotSynchronous();
      await using _chores = startChores(this.chores(), { clock, log, onFatal: (error) => this.failure.abort(error) });
      this.jobs.start();
      this.custody.start(this.router);
      this.isStreaming = true;
      log.info({ slot: ground.slot, epoch: String(ground.cursor.epoch) }, `streaming from ${ground.slot}`);
      await running;
      if (this.failure.signal.aborted) throw this.failure.signal.reason;
    } finally {
      this.isStreaming = false;
      this.jobs.stop();
      this.confirmer.close();
      this.gate.close();
      this.custody.close();
      this.failure.abort();
      await this.router.close();
      await this.jobs[Symbol.asyncDispose]();
      await this.custody[Symbol.asyncDispose]();
    }
  }

  /** Stops reading, delivers what is held and can be delivered, confirms, and ends the stream. */
  drain(): Promise<void> {
    this.drained ??= this.finish();
    return this.drained;
  }

  private async finish(): Promise<void> {
    this.draining.abort();
    this.jobs.stop();
    this.slot.pause();
    await this.router.drain(AbortSignal.timeout(this.options.config.delivery.timeout + DRAIN_MARGIN_MS));
    await boundedCall(() => this.confirmer.flush(), LAST_CONFIRMATION_MS)();
    this.confirmer.close();
    await this.slot.finish();
    this.options.log.info({ confirmed: formatLsn(this.slot.confirmed) }, 'confirmed and closed');
  }

  private createGate(): VisibilityGate {
    const { config, log, clock, ground } = this.options;
    return new VisibilityGate({
      enabled: config.delivery.wait_visible,
      takeSnapshot: async () => {
        const snapshot = await currentSnapshot(ground.express);
        return (xid) => seesXid(snapshot, xid);
      },
      clock,
      onVisible: () => this.router.seen(),
      onError: (message) => log.warn(`visibility cannot be checked, deliveries wait: ${message}`),
    });
  }

  /** What a lost slot will not bring goes first. False when it was told to end before that was done. */
  private async heal(ended: AbortSignal): Promise<boolean> {
    const { ground, clock } = this.options;
    if (!ground.healing) return true;
    try {
      await ground.healing.run(this.router, clock, AbortSignal.any([ended, this.draining.signal]));
    } catch (error) {
      if (this.failure.signal.aborted) throw this.failure.signal.reason;
      if (!ended.aborted && !this.drained) throw error;
      await this.drained;
    }
    return !ended.aborted && !this.draining.signal.aborted;
  }

  /** The server may choose a standby at any time, once it has confirmed something. */
  private async checkNotSynchronous(): Promise<void> {
    if (this.slot.backendPid !== undefined) await checkNotSynchronous(this.ground.pool, this.slot.backendPid);
  }

  private chores(): readonly Chore[] {
    const { prune } = this.options.config;
    const { pool } = this.ground;
    return [
      { name: 'looking for synchronous replication', every: 10_000, run: () => this.checkNotSynchronous() },
      this.jobs.chore,
      {
        name: 'removing old rows of the delivery log',
        every: 600_000,
        run: (signal) => pruneDeliveryLog(this.ground.pool, signal),
      },
      ...(prune.enabled
        ? [{ name: 'pruning', every: prune.every, run: (signal: AbortSignal) => pruneAll(pool, { ...prune, signal }) }]
        : []),
    ];
  }

  private take(step: Step | undefined): void {
    switch (step?.kind) {
      case 'begin':
        this.transaction = step.origin;
        step.origin.receivedAt = this.options.clock.now();
        this.ledger.begin(step.origin); // the ticket is open before anything can wait
        return this.gate.begin(step.origin);
      case 'event':
        this.received += 1;
        return this.router.accept(step);
      case 'poison':
        this.received += 1;
        return this.router.acceptPoison(step);
      case 'commit':
        if (this.transaction) this.ledger.commit(this.transaction, step.endLsn);
        this.router.passed(step.endLsn);
        if (this.received > 0) this.jobs.received();
        this.options.watcher.received(this.received);
        this.received = 0;
        return;
      case undefined:
    }
  }
}
