/** The pipeline without its ends: from the messages of pgoutput to batches and back to the ledger, in this process. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Ledger } from '../../../src/ack/ledger.ts';
import { systemClock } from '../../../src/clock.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { columnMapping } from '../../../src/decoder/column-mapping.ts';
import { createPgoutputDecoder } from '../../../src/decoder/pgoutput.ts';
import type { Origin } from '../../../src/event.ts';
import { Metrics } from '../../../src/observe/metrics.ts';
import type { Decoder, Destination, Sink, Step } from '../../../src/pipeline.ts';
import { Router } from '../../../src/router/router.ts';
import { GuardedSink } from '../../../src/sinks/guarded-sink.ts';
import { MemoryLot } from '../../router/memory-lot.ts';
import { RELATION } from './wire-backlog.ts';

export function newDecoder(): Decoder {
  const decoder = createPgoutputDecoder({
    mapping: columnMapping({ preset: 'walpost', columns: {} }),
    table: 'walpost.outbox',
  });
  decoder.decode(RELATION);
  return decoder;
}

/** About what one read of the socket brings. */
const MESSAGES_A_TURN = 150;

export interface PipelineCost {
  readonly events: number;
  /** Processor time of the whole process, collecting garbage too, in microseconds per event. */
  readonly microsPerEvent: number;
}

/** Sends each message `times` times through decoder, router, guard and sink, and waits until all has settled. */
export async function runPipeline(messages: readonly Buffer[], times: number, sink: Sink): Promise<PipelineCost> {
  const decoder = newDecoder();
  const { accept, router, ledger } = open(sink);
  let full = 0;
  const begun = process.cpuUsage();
  for (let time = 0; time < times; time++) {
    for (const message of messages) {
      accept(decoder.decode(message));
      if (++full % MESSAGES_A_TURN === 0) {
        do await nextTurn();
        while (router.isFull());
      }
    }
  }
  await router.drain();
  const { user, system } = process.cpuUsage(begun);
  if (ledger.openTransactions > 0) throw new Error(`${ledger.openTransactions} transactions have not settled`);
  await router.close();
  return { events: router.events(), microsPerEvent: (user + system) / router.events() };
}

function open(sink: Sink) {
  const metrics = new Metrics(['out']);
  let events = 0;
  let full = false;
  let origin: Origin | undefined;
  const config = configSchema.parse({
    database: { url: 'postgres://127.0.0.1/none' },
    sinks: { out: { type: 'discard' } },
    routes: ['cataloging', 'billing'].map((topic) => ({ match: { topic }, to: ['out'] })),
  });
  const ledger = new Ledger();
  const router = new Router({
    config,
    destinations: [guarded(sink, config, metrics)],
    settlement: ledger,
    deadLetters: {
      store: (letter) => {
        throw new Error(`${letter.reason}: ${letter.detail}`);
      },
    },
    lot: new MemoryLot(),
    clock: systemClock,
    watcher: {
      parked: () => undefined,
      delivered: (name, count) => {
        metrics.delivered(name, count);
        metrics.commitToDelivery(name, 0.1);
      },
      deadLettered: () => undefined,
      dropped: () => undefined,
      windowWait: (ms) => metrics.windowWait(ms / 1000),
    },
    askVisible: () => undefined,
    onPressure: (isFull) => void (full = isFull),
  });
  const accept = (step: Step | undefined): void => {
    if (step?.kind === 'begin') {
      origin = step.origin;
      origin.visible = true;
      origin.receivedAt = systemClock.now();
      ledger.begin(origin);
    } else if (step?.kind === 'event') {
      events++;
      router.accept(step);
    } else if (step?.kind === 'commit' && origin) {
      ledger.commit(origin, step.endLsn);
    }
  };
  return { accept, ledger, router: Object.assign(router, { isFull: () => full, events: () => events }) };
}

function guarded(sink: Sink, { delivery }: ReturnType<typeof configSchema.parse>, metrics: Metrics): Destination {
  return new GuardedSink({
    name: 'out',
    sink,
    concurrency: 8,
    timeout: delivery.timeout,
    breaker: delivery.breaker,
    clock: systemClock,
    hooks: { onRequest: ({ sink: name, outcome, seconds }) => metrics.request(name, outcome, seconds) },
  });
}
