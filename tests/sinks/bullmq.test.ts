import { Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { SinkConfigOf } from '../../src/config/sinks/sinks.ts';
import { sinkSchema } from '../../src/config/sinks/sinks.ts';
import type { Event } from '../../src/event.ts';
import type { Sink } from '../../src/pipeline.ts';
import { createBullmqSink } from '../../src/sinks/bullmq/bullmq-sink.ts';
import { jobIdOf } from '../../src/sinks/bullmq/envelope-job.ts';
import { contractContext, describeSinkContract } from '../contract/sink-contract.ts';
import { redisMissing, RedisServer } from '../support/redis-server.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';
import { poll } from '../support/slot-session.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';

const missing = await redisMissing();
const PASSWORD = 'h4rd-t0-guess';
const never = (): AbortSignal => new AbortController().signal;
const samples = (count: number): Event[] => Array.from({ length: count }, () => sampleEvent());
const ids = (events: readonly Event[]): string[] => events.map(({ eventId }) => eventId);

function sinkOf(options: Readonly<Record<string, unknown>> & { readonly url: string }): Sink {
  return createBullmqSink(sinkSchema.parse({ type: 'bullmq', ...options }) as SinkConfigOf<'bullmq'>, contractContext);
}

test.for([
  ['0193f0c4-0000-7000-8000-000000000001', '0193f0c4-0000-7000-8000-000000000001'],
  ['17', '%317'],
  ['-4', '%2D4'],
  ['a:b', 'a%3Ab'],
  ['a%3Ab', 'a%253Ab'],
] as const)('the event %s has the job %s, which says it again', ([event, job]) => {
  expect(jobIdOf(event)).toBe(job);
  expect(decodeURIComponent(jobIdOf(event))).toBe(event);
});

describe.skipIf(missing)(`bullmq ${missing ?? ''}`, () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start({ password: PASSWORD });
  });
  afterAll(async () => server[Symbol.asyncDispose]());
  beforeEach(async () => {
    await server.admin.config('SET', 'maxmemory', '0');
    await server.admin.call('CLIENT', 'UNPAUSE');
    await server.admin.flushall();
  });

  /** Ids of the jobs that wait, first in first. */
  const waiting = async (queue = 'cataloging'): Promise<string[]> =>
    (await server.admin.lrange(`bull:${queue}:wait`, 0, -1)).toReversed();

  /** Runs a real worker until it has completed that many jobs. */
  async function consume(count: number, queue = 'cataloging'): Promise<Event['eventId'][]> {
    const connection = new Redis(server.url, { maxRetriesPerRequest: null });
    const seen: string[] = [];
    const worker = new Worker(
      queue,
      (job) => Promise.resolve(void seen.push((job.data as { event_id: string }).event_id)),
      { connection, concurrency: 1 },
    );
    await new Promise<void>((resolve) => worker.on('completed', () => seen.length >= count && resolve()));
    await worker.close();
    connection.disconnect();
    return seen;
  }

  describeSinkContract('bullmq', async () => ({
    sink: sinkOf({ url: server.url }),
    received: async () => {
      const jobs = await waiting();
      const data = await Promise.all(jobs.map((id) => server.admin.hgetBuffer(`bull:cataloging:${id}`, 'data')));
      return Buffer.concat(data.map((bytes) => bytes ?? Buffer.alloc(0)));
    },
    hang: async () => {
      await server.admin.call('CLIENT', 'PAUSE', '100000', 'WRITE');
      return true;
    },
    asked: () => server.holdsWrite(),
    fail: async () => {
      await server.admin.config('SET', 'maxmemory', '1');
      return true;
    },
    released: () =>
      poll('no connection is open', async () => (await server.clients()) === 0 || undefined).then(() => {}),
    secrets: [PASSWORD, '"n": 1'],
    [Symbol.asyncDispose]: () => Promise.resolve(),
  }));

  test('a worker takes the jobs in the order of the events', async () => {
    const sink = sinkOf({ url: server.url });
    const events = samples(200);
    for (let at = 0; at < 200; at += 50) await sink.deliver(sampleBatch(events.slice(at, at + 50)), never());
    expect(await consume(200)).toEqual(ids(events));
    await sink.close();
  });

  test('a job has the name, the id and the options that the page names', async () => {
    const sink = sinkOf({
      url: server.url,
      queue: 'to-{target}',
      job_options: {
        attempts: 3,
        backoff: { type: 'exponential', delay: 500 },
        remove_on_complete: { age: 60, count: 5 },
      },
      options_from_headers: ['delay', 'priority', 'attempts'],
    });
    const headers = '{"delay": 60000, "attempts": 7, "priority": 2, "lifo": true}';
    const event = sampleEvent({ target: 'a:b', headers });
    expect(await sink.deliver(sampleBatch([event]), never())).toMatchObject([{ kind: 'delivered' }]);
    const connection = new Redis(server.url);
    const queue = new Queue('to-a_b', { connection });
    const job = await queue.getJob(event.eventId);
    expect(job).toMatchObject({ name: 'job.completed', id: event.eventId, delay: 60_000, priority: 2 });
    expect(job?.opts).toMatchObject({
      attempts: 7,
      backoff: { type: 'exponential', delay: 500 },
      removeOnComplete: { age: 60, count: 5 },
    });
    expect(job?.opts).not.toHaveProperty('lifo');
    await queue.close();
    connection.disconnect();
    await sink.close();
  });

  test.for([
    ['{"delay": -1}', 'the header delay is no whole number of milliseconds from 0 to one year'],
    ['{"priority": "1"}', 'the header priority is no whole number from 0 to 2097152'],
    ['{"attempts": 1.5}', 'the header attempts is no whole number from 1 to 1000'],
  ] as const)('the header %s is a dead letter with the rule, and stops nothing', async ([headers, reason]) => {
    const sink = sinkOf({ url: server.url, options_from_headers: ['delay', 'priority', 'attempts'] });
    const good = sampleEvent();
    expect(await sink.deliver(sampleBatch([sampleEvent({ headers }), good]), never())).toEqual([
      { kind: 'rejected', reason },
      { kind: 'delivered' },
    ]);
    expect(await waiting()).toEqual([good.eventId]);
    await sink.close();
  });

  test('a queue that the event does not name is a dead letter', async () => {
    const sink = sinkOf({ url: server.url, queue: '{target}' });
    const verdicts = await sink.deliver(
      sampleBatch([sampleEvent(), sampleEvent({ target: 'q'.repeat(300) })]),
      never(),
    );
    expect(verdicts).toEqual([
      { kind: 'rejected', reason: 'the name of the queue needs target, and the event has none' },
      { kind: 'rejected', reason: 'the name of the queue would be longer than 256 bytes' },
    ]);
    await sink.close();
  });

  test('all events of an entity go to one queue, and entities are spread', async () => {
    const sink = sinkOf({ url: server.url, queue: 'jobs-{entity_hash:4}' });
    const events = Array.from({ length: 64 }, (_, at) =>
      sampleEvent({ entityType: 'order', entityId: String(at % 16) }),
    );
    await sink.deliver(sampleBatch(events), never());
    const queues = await Promise.all([0, 1, 2, 3].map((place) => waiting(`jobs-${place}`)));
    expect(queues.filter((jobs) => jobs.length > 0).length).toBeGreaterThan(1);
    for (let entity = 0; entity < 16; entity++) {
      const own = ids(events.filter(({ entityId }) => entityId === String(entity)));
      const holder = queues.find((jobs) => jobs.includes(own[0] ?? ''));
      expect(holder?.filter((id) => own.includes(id))).toEqual(own);
    }
    await sink.close();
  });

  test('a batch whose answer was lost is added once when it is repeated', async () => {
    await using proxy = await TcpProxy.start({ host: '127.0.0.1', port: server.port });
    const through = sinkOf({ url: server.url.replace(String(server.port), String(proxy.port)) });
    const warm = samples(3);
    await through.deliver(sampleBatch(warm), never());
    const events = samples(50);
    await server.admin.call('CLIENT', 'PAUSE', '100000', 'WRITE');
    const lost = through.deliver(sampleBatch(events), never());
    await server.holdsWrite();
    proxy.hold();
    await server.admin.call('CLIENT', 'UNPAUSE');
    await poll('the jobs are there', async () => (await waiting()).length === 53 || undefined);
    proxy.forward();
    proxy.cut();
    await lost;
    const direct = sinkOf({ url: server.url });
    const verdicts = [await direct.deliver(sampleBatch(events), never())].flat();
    expect(verdicts.every(({ kind }) => kind === 'delivered')).toBe(true);
    expect(await waiting()).toEqual(ids([...warm, ...events]));
    await through.close();
    await direct.close();
  });

  test.for([
    [undefined, 2],
    [true, 4],
  ] as const)(
    'with remove_on_complete %s two events that come again after their jobs ran are %i runs',
    async ([removal, runs]) => {
      const sink = sinkOf({
        url: server.url,
        job_options: removal === undefined ? {} : { remove_on_complete: removal },
      });
      const events = samples(2);
      await sink.deliver(sampleBatch(events), never());
      expect(await consume(2)).toEqual(ids(events));
      await sink.deliver(sampleBatch(events), never());
      expect(2 + (await waiting()).length).toBe(runs);
      await sink.close();
    },
  );

  test('one job that Redis refuses in the middle of a batch stops the others too', async () => {
    const sink = sinkOf({ url: server.url });
    await sink.deliver(sampleBatch(samples(1)), never());
    await server.admin.config('SET', 'maxmemory', '1');
    const [verdict] = [await sink.deliver(sampleBatch(samples(3)), never())].flat();
    expect(verdict).toMatchObject({ kind: 'unavailable', code: 'REDIS_OOM' });
    expect(await waiting()).toHaveLength(1);
    await server.admin.config('SET', 'maxmemory', '0');
    await server.admin.call('REPLICAOF', '127.0.0.1', '1');
    const [readOnly] = [await sink.deliver(sampleBatch(samples(1)), never())].flat();
    expect(readOnly).toMatchObject({ kind: 'unavailable', code: 'REDIS_READONLY' });
    await server.admin.call('REPLICAOF', 'NO', 'ONE');
    expect([await sink.deliver(sampleBatch(samples(1)), never())].flat()).toEqual([{ kind: 'delivered' }]);
    await sink.close();
  });

  test.for([
    ['no password', (url: string) => url.replace(`:${PASSWORD}@`, ''), 'REDIS_NOAUTH'],
    ['a wrong password', (url: string) => url.replace(PASSWORD, 'guessed'), 'REDIS_WRONGPASS'],
    ['a port where nobody listens', (url: string) => url.replace(/\d+$/, '1'), 'ECONNREFUSED'],
  ] as const)('%s is unavailable, and says why', async ([, change, code]) => {
    const sink = sinkOf({ url: change(server.url) });
    expect([await sink.deliver(sampleBatch(samples(1)), never())].flat()[0]).toMatchObject({
      kind: 'unavailable',
      code,
    });
    await sink.close();
  });

  test('more queues than are kept open are all written', async () => {
    const sink = sinkOf({ url: server.url });
    for (let round = 0; round < 3; round++) {
      const events = Array.from({ length: 150 }, (_, at) => sampleEvent({ topic: `t${round * 100 + at}` }));
      expect([await sink.deliver(sampleBatch(events), never())].flat().every(({ kind }) => kind === 'delivered')).toBe(
        true,
      );
    }
    expect((await server.admin.keys('bull:*:wait')).length).toBe(350);
    await sink.close();
  });

  test('a killed server keeps its jobs, and takes the next ones once it is back', async () => {
    const sink = sinkOf({ url: server.url });
    const events = samples(4);
    await sink.deliver(sampleBatch(events.slice(0, 2)), never());
    await server.kill();
    const [away] = [await sink.deliver(sampleBatch(events.slice(2)), never())].flat();
    expect(away).toMatchObject({ kind: 'unavailable' });
    await server.restart();
    await sink.deliver(sampleBatch(events.slice(2)), never());
    await poll(
      'the administrator is back',
      async () => (await server.admin.ping().catch(() => '')) === 'PONG' || undefined,
    );
    expect(await waiting()).toEqual(ids(events));
    await sink.close();
  });
});
