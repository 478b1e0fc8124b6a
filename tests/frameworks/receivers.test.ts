/** @walpost/consumer in the frameworks that receivers use: requests one by one, and a relay whose receivers are killed. */
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { compiled } from '../support/compiled.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { FrameworkReceiver, FrameworkScript } from '../support/framework-receiver.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { sampleEvent } from '../support/sample-event.ts';
import { SECRET, signedWebhook } from '../support/signed-webhook.ts';
import { poll } from '../support/slot-session.ts';

const FRAMEWORKS = ['node', 'express', 'fastify', 'hono', 'fetch'] as const;

/** As the set-up of the run has compiled it. */
const DOORS = compiled(join(import.meta.dirname, '../../packages/consumer/src'));

let script: FrameworkScript;
beforeAll(async () => {
  script = await FrameworkScript.prepare();
}, 600_000);
afterAll(() => script[Symbol.asyncDispose]());

async function withTables(): Promise<TestDatabase> {
  const database = await createTestDatabase();
  await database.query(
    'CREATE TABLE effects (seq bigserial, receiver text NOT NULL, organization_id text NOT NULL, n integer NOT NULL)',
  );
  for (const framework of FRAMEWORKS) {
    await database.query(`CREATE TABLE received_${framework} (event_id text PRIMARY KEY)`);
  }
  return database;
}

/** The receivers of a test. */
class Receivers implements AsyncDisposable {
  private readonly all: FrameworkReceiver[] = [];

  async start(
    database: TestDatabase,
    framework: string,
    more: Record<string, string> = {},
  ): Promise<FrameworkReceiver> {
    const env = { DATABASE_URL: database.url, SECRET, ...more };
    const receiver = await FrameworkReceiver.start(script, framework, env);
    this.all.push(receiver);
    return receiver;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const receiver of this.all) await receiver.kill();
  }
}

test('the types of the doors fit those of the frameworks', async () => {
  const source = `
import { createWebhookHandler, memoryDedupe } from '${DOORS}/index.js';
import { expressWebhook } from '${DOORS}/doors/express.js';
import { fastifyWebhook } from '${DOORS}/doors/fastify.js';
import { honoWebhook } from '${DOORS}/doors/hono.js';
import express from 'express';
import { fastify } from 'fastify';
import { Hono } from 'hono';
const handler = createWebhookHandler({ secrets: 'a text', dedupe: memoryDedupe(), events: { a: () => undefined } });
express().post('/hook', expressWebhook(handler));
await fastify().register(fastifyWebhook(handler), { prefix: '/hook' });
new Hono().post('/hook', honoWebhook(handler));
`;
  expect(await script.faultsOf(source)).toBe('');
});

describe('requests', () => {
  let database: TestDatabase;
  const started = new Receivers();
  const receivers = new Map<string, FrameworkReceiver>();
  beforeAll(async () => {
    database = await withTables();
    for (const framework of FRAMEWORKS) receivers.set(framework, await started.start(database, framework));
  });
  afterAll(async () => {
    await started[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
  });

  async function send(framework: string, init: RequestInit, path?: string) {
    const answer = await fetch(receivers.get(framework)?.url(path) ?? '', init);
    const type = answer.headers.get('content-type') ?? '';
    return { status: answer.status, type, body: (await answer.json()) as Record<string, unknown> };
  }
  const counted = (n: number, text = '') => sampleEvent({ eventType: 'counted', payload: JSON.stringify({ n, text }) });

  describe.each(FRAMEWORKS)('of %s', (framework) => {
    test('that are signed are handled, and dropped when they come again', async () => {
      const event = counted(1, 'größe');
      expect(await send(framework, signedWebhook([event]))).toEqual({
        status: 200,
        type: expect.stringContaining('application/json') as string,
        body: { handled: 1, repeated: [], unknown: [] },
      });
      expect(await send(framework, signedWebhook([event]))).toMatchObject({ body: { repeated: [event.eventId] } });
      const rows = await database.query('SELECT FROM effects WHERE receiver = $1 AND n = 1', [framework]);
      expect(rows).toHaveLength(1);
    });

    test('of more than a framework takes by default are handled too', async () => {
      const large = signedWebhook([counted(2, 'x'.repeat(2_000_000))]);
      expect(await send(framework, large)).toMatchObject({ status: 200, body: { handled: 1 } });
    });

    test('that are not to be trusted or read are refused', async () => {
      const right = signedWebhook([counted(3)]);
      const unsigned = { ...right, headers: { 'content-type': 'application/json' } };
      expect(await send(framework, unsigned)).toMatchObject({ status: 401 });
      expect(await send(framework, signedWebhook('no JSON'))).toMatchObject({ status: 400 });
      expect(await send(framework, { method: 'GET' })).toMatchObject({ status: 405 });
      expect(await send(framework, signedWebhook(' '.repeat(4_000_001)))).toMatchObject({ status: 413 });
      expect(await database.query('SELECT FROM effects WHERE receiver = $1 AND n = 3', [framework])).toEqual([]);
    });
  });

  test('express: bytes of express.raw() are taken, and a body that express.json() has parsed is told of', async () => {
    expect(await send('express', signedWebhook([counted(4)]), '/bytes')).toMatchObject({ status: 200 });
    const { status, body } = await send('express', signedWebhook([counted(4)]), '/parsed');
    expect([status, body['error']]).toEqual([500, expect.stringContaining('before express.json()')]);
  });

  test('hono: a body that another middleware has read is taken as it was', async () => {
    expect(await send('hono', signedWebhook([counted(5)]), '/parsed')).toMatchObject({ body: { handled: 1 } });
  });

  test('fastify: other routes have their parsers', async () => {
    const init = { method: 'POST', headers: { 'content-type': 'application/json' }, body: '{"a":1}' };
    expect(await send('fastify', init, '/other')).toMatchObject({ body: { a: 1 } });
  });
});

test(
  'receivers that are killed in the middle of an event: each effect once, in order',
  { timeout: 180_000 },
  async () => {
    await using database = await withTables();
    await using started = new Receivers();
    const hanging = new Map<string, FrameworkReceiver>();
    for (const framework of FRAMEWORKS) {
      hanging.set(framework, await started.start(database, framework, { HANG_AT: '7' }));
    }
    const sinks = Object.fromEntries(
      [...hanging].map(([name, receiver]) => [
        name,
        { type: 'webhook', url: receiver.url(), secret: SECRET, allow_private: true },
      ]),
    );
    await using relay = await RelayInProcess.start({
      database,
      sinks,
      config: { batching: { window: '50ms', max_events: 10 }, delivery: { breaker: { reset_after: '200ms' } } },
    });
    const organizations = [randomUUID(), randomUUID()];
    for (const organization of organizations) {
      await database.query(
        `SELECT walpost.publish($1, 'counted', jsonb_build_object('n', n)) FROM generate_series(1, 40) AS n`,
        [organization],
      );
    }
    for (const [framework, receiver] of hanging) {
      await receiver.hangs();
      await receiver.kill();
      await started.start(database, framework, { PORT: String(receiver.port) });
    }
    const expected = FRAMEWORKS.length * organizations.length * 40;
    await poll(
      'all effects are there',
      async () => (await database.query('SELECT FROM effects')).length >= expected || undefined,
      120_000,
    );
    await relay.stop();
    const rows = await database.query<{ numbers: number[] }>(
      'SELECT array_agg(n ORDER BY seq) AS numbers FROM effects GROUP BY receiver, organization_id',
    );
    const inOrder = Array.from({ length: 40 }, (_, index) => index + 1);
    expect(rows.map(({ numbers }) => numbers)).toEqual(Array.from({ length: expected / 40 }, () => inOrder));
  },
);

test('an event that is refused for good becomes a dead letter, and the others arrive in order', async () => {
  await using database = await withTables();
  await using started = new Receivers();
  const receiver = await started.start(database, 'node', { REFUSE_AT: '5' });
  await using relay = await RelayInProcess.start({
    database,
    sinks: { node: { type: 'webhook', url: receiver.url(), secret: SECRET, allow_private: true } },
    config: {
      batching: { window: '50ms', max_events: 10 },
      delivery: { max_attempts: 2, backoff: ['50ms'], breaker: { reset_after: '200ms' } },
    },
  });
  await database.query(
    `SELECT walpost.publish($1, 'counted', jsonb_build_object('n', n)) FROM generate_series(1, 20) AS n`,
    [randomUUID()],
  );
  await poll(
    'the others are there',
    async () => (await database.query('SELECT FROM effects')).length >= 19 || undefined,
  );
  const letters = await poll('the dead letter is there', async () => {
    const rows = await database.query('SELECT reason, payload FROM walpost.dead_letters');
    return rows.length > 0 ? rows : undefined;
  });
  expect(letters).toMatchObject([{ reason: 'failed', payload: '{"n": 5}' }]);
  await relay.stop();
  const rows = await database.query<{ n: number }>('SELECT n FROM effects ORDER BY seq');
  expect(rows.map(({ n }) => n)).toEqual(Array.from({ length: 20 }, (_, index) => index + 1).filter((n) => n !== 5));
});
