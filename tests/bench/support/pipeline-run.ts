/** The pipeline without its ends: from the messages of pgoutput to batches and back to the ledger, in this process. */
import { setImmediate as nextTurn } from 'node:timers/promises';
import { Ledger } from '../../../src/ack/ledger.ts';
import { systemClock } from '../../../src/clock.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { columnMapping } from '../../../src/postgres/source/column-mapping.ts';
import { createPgoutputDecoder } from '../../../src/decoder/pgoutput.ts';
import type { BeginTransaction } from '../../../src/event.ts';
import { Metrics } from '../../../src/observe/metrics.ts';
import type { Decoder, Destination, Sink, Step } from '../../../src/pipeline.ts';
import { Router } from '../../../src/router/router.ts';
import { GuardedSink } from '../../../src/sinks/guard/guarded-sink.ts';
import { MemoryLot } from '../../router/memory-lot.ts';
import { RELATION } from './wire-backlog.ts';

export function newDecoder(beginTransaction: BeginTransaction): Decoder {
  const decoder = createPgoutputDecoder({
    beginTransaction,
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
  const { accept, router, ledger } = open(sink);
  const decoder = newDecoder(ledger.begin);
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
  const config = configSchema.parse({
    database: { url: 'postgres://127.0.0.1/none' },
    sinks: { out: { type: 'discard' } },
    routes: ['cataloging', 'billing'].map((topic) => ({ match: { topic }, to: ['out'] })),
  });
  const ledger = new Ledger();
  const router = new Router({
    config,
    destinations: [guarded(sink, config, metrics)],
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
      refusing: () => undefined,
      refusingOver: () => undefined,
      windowWait: (ms) => metrics.windowWait(ms / 1000),
    },
    askVisible: () => undefined,
    failure: new AbortController(),
    onPressure: (isFull) => void (full = isFull),
  });
  const accept = (step: Step | undefined): void => {
    if (step?.kind === 'begin') {
      step.origin.visible = true;
      step.origin.receivedAt = systemClock.now();
    } else if (step?.kind === 'event') {
      events++;
      router.accept(step);
    } else if (step?.kind === 'commit') {
      ledger.commit(step.endLsn);
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
