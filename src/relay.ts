/**
 * READ FIRST: the way of the data, from the slot to the confirmation.
 *
 *   slot -> decoder -> router -> sinks -> ack
 *
 * One relay serves one connection to the slot. It ends with the connection, and what was not confirmed by then comes again
 * on the next one. relay-session.ts runs it from the first byte to the last confirmation, relay-service.ts makes the next.
 */
import { Confirmer } from './ack/confirmer.ts';
import { Ledger } from './ack/ledger.ts';
import type { Clock } from './clock.ts';
import type { Config } from './config/schema.ts';
import { createDecoder } from './decoder/create-decoder.ts';
import { pgoutputOptions, wal2jsonOptions } from './decoder/start-options.ts';
import type { Refusal } from './emit-key.ts';
import type { Origin } from './event.ts';
import { withPageTickets } from './jobs/page-ticket.ts';
import { LSN_ZERO, type Lsn, maxLsn } from './lsn.ts';
import type { Logger } from './observe/log.ts';
import type { Decoder, Destination, Step } from './pipeline.ts';
import { EmitKeys } from './postgres/emit-keys.ts';
import { RelayCustody } from './relay-custody.ts';
import type { Ground } from './relay-ground.ts';
import { RelayIntake } from './relay-intake.ts';
import { RelayJobs } from './relay-jobs.ts';
import { visibilityGate } from './relay-visibility.ts';
import { Router } from './router/router.ts';
import type { RouterWatcher } from './router/router-options.ts';
import type { VisibilityGate } from './router/visibility-gate.ts';
import { SlotStream } from './slot/slot-stream.ts';

export interface RelayWatcher extends RouterWatcher {
  /** A transaction brought so many events and poison rows. */
  received(count: number): void;
  /** A logical message is no event. */
  refused(reason: Refusal): void;
}

export interface RelayOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: Clock;
  readonly ground: Ground;
  readonly sinks: readonly Destination[];
  readonly watcher: RelayWatcher;
}

export class Relay {
  readonly slot: SlotStream;
  readonly intake: RelayIntake;
  readonly decoder: Decoder;
  readonly router: Router;
  readonly ledger: Ledger;
  readonly ground: Ground;
  readonly custody: RelayCustody;
  readonly confirmer: Confirmer;
  readonly jobs: RelayJobs;
  /** Aborted with the reason when the connection must end. */
  readonly failure = new AbortController();
  /** What tells events of walpost.emit from messages of others. */
  readonly keys: EmitKeys;
  private readonly gate: VisibilityGate;
  private readonly options: RelayOptions;
  private transaction: Origin | undefined;
  private received = 0;

  constructor(options: RelayOptions) {
    const { config, log, clock, ground, sinks, watcher } = options;
    const { source } = config;
    const fail = (error: unknown): void => this.failure.abort(error);
    this.options = options;
    this.ground = ground;

    // 1 slot: bytes arrive
    this.keys = new EmitKeys(ground.express);
    this.intake = new RelayIntake({
      ...options,
      handler: { data: (payload) => this.take(this.decoder.decode(payload)), keepalive: (lsn) => this.passed(lsn) },
      brake: (on) => (on ? this.slot.pause() : this.slot.resume()),
      keys: this.keys,
      fail,
    });
    this.slot = new SlotStream({
      url: config.database.url,
      slot: ground.slot,
      plugin: source.plugin,
      pluginOptions: source.plugin === 'pgoutput' ? pgoutputOptions(source) : wal2jsonOptions(source),
      handler: this.intake,
      clock,
      walSenderTimeout: ground.server.walSenderTimeoutMs,
    });

    // 2 decoder: bytes become steps
    this.decoder = createDecoder(source, {
      tableId: ground.tableId,
      onIgnored: (kind, table) => log.warn({ kind, table }, 'a change that is no insert of the outbox was ignored'),
      messages: { keyOf: this.keys.keyOf, onRefused: (reason) => watcher.refused(reason) },
    });

    // 3 router: steps become batches, which leave when a new snapshot sees their transactions; 4 sinks: batches leave
    this.gate = visibilityGate({ ...options, onVisible: () => this.router.seen() });
    const received = (): Lsn => maxLsn(this.slot.received, ground.healing?.orderLsn ?? LSN_ZERO);
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
      onPressure: (full) => this.intake.press(full),
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

  /** Takes in nothing more, for good. */
  stopReading(): void {
    this.intake.stop();
  }

  /** Lets go of everything that is not settled; resolves when nothing is under way any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.intake.stop();
    this.jobs.stop();
    this.confirmer.close();
    this.gate.close();
    this.custody.close();
    this.failure.abort();
    await this.router.close();
    await this.jobs[Symbol.asyncDispose]();
    await this.custody[Symbol.asyncDispose]();
  }

  /** The server has sent everything before this. */
  private passed(lsn: Lsn): void {
    this.ledger.keepalive(lsn);
    this.router.passed(lsn);
  }

  /** What arrives, as the decoder reads it. */
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
