/**
 * Posts events one by one to a receiver: `request-loop.ts <request|dispatch|signing|sink> <url> <requests> <in flight>`. Prints how long it took.
 *
 * `request` of undici, and its `dispatch`, the least that it can do, have bodies and signatures ready. `signing` is `request`
 * that makes both for each request, and `sink` walpost's own sink behind its guard, which has to as well.
 */
import { randomUUID } from 'node:crypto';
import { Pool } from 'undici';
import { systemClock } from '../../../src/clock.ts';
import { configSchema } from '../../../src/config/schema.ts';
import { sinkSchema } from '../../../src/config/sinks/sinks.ts';
import { batchBody, batchId } from '../../../src/envelope.ts';
import type { Batch } from '../../../src/pipeline.ts';
import { testContext } from '../../../src/sink/testing/index.ts';
import { signingKeys } from '../../../src/signing-secret.ts';
import { GuardedSink } from '../../../src/sinks/guard/guarded-sink.ts';
import { createSink } from '../../../src/sinks/registry.ts';
import { signatureOf } from '../../../src/sinks/webhook/webhook-signature.ts';
import { wireBytes } from '../../../src/wire-text.ts';
import { sampleBatch, sampleEvent } from '../../support/sample-event.ts';
import { REQUEST_SECRET } from './request-secret.ts';

const [way = '', url = '', count = '', inFlight = ''] = process.argv.slice(2);
const requests = Number(count);
const concurrency = Number(inFlight);
/** As many different events as a hundred organizations have under way at once. */
const EVENTS = 1_000;
const { origin, pathname } = new URL(url);
const batches = Array.from({ length: EVENTS }, (): Batch => {
  const payload = JSON.stringify({ jobId: randomUUID(), status: 'completed', records: 1, note: 'x'.repeat(108) });
  return sampleBatch([sampleEvent({ payload })]);
});

interface Ready {
  readonly body: Buffer;
  readonly headers: Readonly<Record<string, string>>;
}

/** What walpost sends for that batch. */
function readyOf(batch: Batch): Ready {
  const id = batchId({ sink: 'out', job: null, events: batch.events });
  const body = wireBytes(batchBody({ sink: 'out', batch, id }));
  const timestamp = Math.floor(Date.now() / 1000);
  const [event] = batch.events;
  const headers = {
    'user-agent': 'walpost',
    'content-type': 'application/json',
    'walpost-event-type': event?.eventType ?? '',
    'idempotency-key': event?.eventId ?? '',
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': signatureOf(signingKeys(REQUEST_SECRET), { id, timestamp, body }),
  };
  return { body, headers };
}

function byRequest(pool: Pool, readyFor: (n: number) => Ready) {
  return async (n: number): Promise<void> => {
    const { body } = await pool.request({ path: pathname, method: 'POST', ...readyFor(n) });
    await body.dump();
  };
}

function byDispatch(pool: Pool, ready: readonly Ready[]) {
  return (n: number): Promise<void> =>
    new Promise((resolve, reject) => {
      pool.dispatch(
        { path: pathname, method: 'POST', ...(ready[n % EVENTS] as Ready) },
        {
          onRequestStart: () => undefined,
          onResponseEnd: () => resolve(),
          onResponseError: (_controller, error) => reject(error),
        },
      );
    });
}

async function bySink() {
  const config = { type: 'webhook', url, secret: REQUEST_SECRET, batch: false, allow_private: true, concurrency };
  const { delivery } = configSchema.parse({
    database: { url: 'postgres://127.0.0.1/none' },
    sinks: { out: config },
    routes: [{ match: {}, to: ['out'] }],
  });
  const guard = new GuardedSink({
    name: 'out',
    sink: await createSink(sinkSchema.parse(config), { ...testContext, name: 'out', clock: systemClock }),
    concurrency,
    timeout: delivery.timeout,
    breaker: delivery.breaker,
    clock: systemClock,
  });
  const outer = new AbortController();
  return async (n: number): Promise<void> => {
    const verdicts = await guard.deliver(batches[n % EVENTS] as Batch, outer.signal);
    if (JSON.stringify(verdicts) !== '[{"kind":"delivered"}]') throw new Error(JSON.stringify(verdicts));
  };
}

async function poster(): Promise<(n: number) => Promise<void>> {
  if (way === 'sink') return bySink();
  const pool = new Pool(origin, { connections: concurrency });
  if (way === 'signing') return byRequest(pool, (n) => readyOf(batches[n % EVENTS] as Batch));
  const ready = batches.map(readyOf);
  return way === 'request' ? byRequest(pool, (n) => ready[n % EVENTS] as Ready) : byDispatch(pool, ready);
}

const post = await poster();
let next = 0;
const lane = async (): Promise<void> => {
  while (next < requests) await post(next++);
};
const cpu = process.cpuUsage();
const begun = performance.now();
await Promise.all(Array.from({ length: concurrency }, lane));
const seconds = (performance.now() - begun) / 1000;
const { user, system } = process.cpuUsage(cpu);
console.log(`posted ${JSON.stringify({ seconds, cpuSeconds: (user + system) / 1e6 })}`);
process.exit(0);
