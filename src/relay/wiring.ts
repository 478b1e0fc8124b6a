/**
 * The stages of one connection, wired together: the way of the data from the slot to the confirmation.
 *
 *   slot -> decoder -> router -> sinks -> ack
 *
 * connection.ts runs them. They end with the connection, and what was not confirmed by then comes again on the next one.
 */
import { Confirmer } from '../ack/confirmer.ts';
import { Ledger } from '../ack/ledger.ts';
import { guardedClock } from '../clock.ts';
import { createDecoder } from '../decoder/create-decoder.ts';
import { pgoutputOptions, wal2jsonOptions } from '../decoder/start-options.ts';
import { EndpointFeed } from '../endpoints/feed.ts';
import { EmitKeys } from '../emit/emit-keys.ts';
import { FrameGate } from '../emit/frame-gate.ts';
import { asDefect } from '../errors.ts';
import { rerouted } from '../leader/rerouted.ts';
import { LSN_ZERO, maxLsn } from '../lsn.ts';
import type { Decoder, FrameHandler } from '../pipeline.ts';
import { OWN_TABLE } from '../postgres/own-table.ts';
import { Router } from '../router/router.ts';
import type { VisibilityGate } from '../router/timing/visibility-gate.ts';
import { SlotStream } from '../slot/slot-stream.ts';
import type { RelayOptions } from './dependencies.ts';
import { endpointLanes } from './endpoint-lanes.ts';
import { LeaderJobs } from './leader-jobs.ts';
import { StoredEvents } from './stored-events.ts';
import { StreamConsumer } from './stream-consumer.ts';
import type { LeaderTerm } from './term.ts';
import { MeasuredVisibility } from './visibility.ts';

export interface PipelineParts {
  readonly term: LeaderTerm;
  readonly slot: SlotStream;
  /** Tells events of walpost.emit from messages of others. */
  readonly keys: EmitKeys;
  /** Pauses the socket while the router is full, and holds frames while a message names a key that is not known yet. */
  readonly gate: FrameGate;
  readonly visibility: VisibilityGate;
  readonly storedEvents: StoredEvents;
  readonly router: Router;
  readonly ledger: Ledger;
  readonly confirmer: Confirmer;
  readonly jobs: LeaderJobs;
  /** Aborted with the reason when the connection must end. */
  readonly failure: AbortController;
}

/**
 * Makes the stages. Each is made after those that it takes. Where two need each other, the first gets a function that names
 * the second; nothing calls it before the stream runs, and a call that came too early would throw, since a `const` cannot be
 * read before it is there.
 */
export function wirePipeline(options: RelayOptions): Pipeline {
  const { config, term, sinks, endpoints, watcher } = options;
  const failure = new AbortController();
  const isMapped = config.source.table !== OWN_TABLE;
  const fail = (error: unknown): void => failure.abort(error);
  const failBy = (error: unknown): void => fail(asDefect(error));
  const clock = guardedClock(options.clock, failBy);
  const keys = new EmitKeys(term.controlPool);
  const ledger = new Ledger(() => confirmer.advanced());
  const decoder = decoderOf(options, keys, ledger); // 2 decoder: bytes become steps; a Begin opens its ticket in the ledger

  // 3 router: steps become batches, which leave when a new snapshot sees their transactions; 4 sinks
  const measured = new MeasuredVisibility({ ...options, failure, onVisible: () => router.seen() });
  const visibility = measured.gate;
  // after what was received; while a lost slot is healed nothing is, and the place is that of the healing
  const placeOfJobs = () => maxLsn(slot.received, term.healing?.orderLsn ?? LSN_ZERO);
  const storedEvents = new StoredEvents({ ...options, placeOfJobs, fail });
  const router = new Router({
    config,
    destinations: sinks.map((sink) => {
      const laneRule = endpoints.ruleOf(sink.name);
      return laneRule ? rerouted(sink, { laneRule }) : sink;
    }),
    deadLetters: storedEvents.letters,
    lot: storedEvents.lot,
    isMapped,
    clock,
    watcher,
    askVisible: () => measured.ask(),
    onPressure: (full) => gate.setBackpressure(full),
    failure,
  });
  const jobs = new LeaderJobs({ ...options, outlet: router, watermark: () => ledger.watermark, fail });

  // 1 slot: bytes arrive
  const handler = new StreamConsumer({
    decoder,
    ledger,
    visibility,
    router,
    jobs,
    watcher,
    clock,
    canaries: isMapped ? null : storedEvents.canaries,
    endpoints: new EndpointFeed({
      directory: endpoints.directory,
      lanes: endpointLanes(endpoints, router),
      notes: storedEvents.changes,
    }),
  });
  const setPaused = (paused: boolean): void => (paused ? slot.pause() : slot.resume());
  const gate = new FrameGate({ ...options, handler, setPaused, keys, fail: failBy });
  const slot = streamOf(options, gate);

  // 5 ack: the cursor row moves, then the slot is told
  const confirmSlot = slot.confirm.bind(slot);
  const confirmer = new Confirmer({ ledger, clock, writeCursor: term.cursor.advance, confirmSlot, onError: fail });

  return new Pipeline({ term, slot, keys, gate, visibility, storedEvents, router, ledger, confirmer, jobs, failure });
}

/** The stages of one connection, and their common end. */
export class Pipeline implements AsyncDisposable {
  readonly parts: PipelineParts;

  constructor(parts: PipelineParts) {
    this.parts = parts;
  }

  /** Reads nothing more from the socket. Frames that the driver has in hand still arrive. */
  stopReading(): void {
    this.parts.gate.stop();
  }

  /** Releases everything that is not settled. Resolves when nothing is in flight any more. */
  async [Symbol.asyncDispose](): Promise<void> {
    const { jobs, confirmer, visibility, storedEvents, failure, router } = this.parts;
    this.stopReading();
    jobs.stop();
    confirmer.close();
    visibility.close();
    storedEvents.close();
    failure.abort();
    await router.close();
    await jobs[Symbol.asyncDispose]();
    await storedEvents[Symbol.asyncDispose]();
  }
}

function decoderOf({ config, term, log, watcher }: RelayOptions, keys: EmitKeys, ledger: Ledger): Decoder {
  return createDecoder(config.source, {
    beginTransaction: ledger.begin,
    tableId: term.tableId,
    onIgnored: (kind, table) => log.warn({ kind, table }, 'a change other than an insert into the outbox was ignored'),
    messages: { keyOf: keys.keyOf, onRefused: (reason) => watcher.refused(reason) },
  });
}

function streamOf({ config, term, clock }: RelayOptions, handler: FrameHandler): SlotStream {
  const { source } = config;
  return new SlotStream({
    url: config.database.url,
    slot: term.slot,
    plugin: source.plugin,
    pluginOptions: source.plugin === 'pgoutput' ? pgoutputOptions(source) : wal2jsonOptions(source),
    handler,
    clock,
    walSenderTimeout: term.server.walSenderTimeoutMs,
  });
}
