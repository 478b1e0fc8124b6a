/** Content that the database cannot hold is stored in another form: whatever it is, nothing waits for it. */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { requestBody } from '../support/request-body.ts';
import { poll } from '../support/slot-session.ts';

/** Characters of every kind, none of which LATIN1 has, in an answer that is cut besides. */
const ANSWER = `ключ 鍵 😀 “no” ${'é'.repeat(400)}`;

let server: Server;
let delivered: string[];
let status: (body: string) => number;
beforeEach(async () => {
  delivered = [];
  status = (body) => (body.includes('"refused"') ? 422 : 204);
  server = createServer((request, response) => {
    void requestBody(request).then((bytes) => {
      if (bytes === null) return;
      const body = bytes.toString();
      response.statusCode = status(body);
      if (response.statusCode < 300)
        delivered.push(...[...body.matchAll(/"event_id":"([^"]+)"/g)].map(([, id]) => id ?? ''));
      response.end(response.statusCode < 300 ? '' : ANSWER);
    });
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
});
afterEach(() => {
  server.closeAllConnections();
  server.close();
});

const start = (database: TestDatabase, delivery: object = {}) =>
  RelayInProcess.start({
    database,
    sinks: {
      hook: { type: 'webhook', url: `http://127.0.0.1:${(server.address() as AddressInfo).port}`, allow_private: true },
    },
    config: { delivery: { log: 'all', max_attempts: 1, quick_retries: 0, backoff: ['100ms'], ...delivery } },
  });

async function publish(database: TestDatabase, type: string, columns = '', values = ''): Promise<string> {
  const sql = `INSERT INTO walpost.outbox (organization_id, event_type, payload${columns})
               VALUES ($1, $2, jsonb_build_object('text', repeat('x', 40000))${values}) RETURNING event_id::text AS id`;
  return (await database.query<{ id: string }>(sql, [randomUUID(), type]))[0]?.id ?? '';
}

const has = (id: string) =>
  poll(`${id} is delivered`, () => Promise.resolve(delivered.includes(id) || undefined), 20_000);
const letters = (database: TestDatabase) =>
  database.query<{
    reason: string;
    detail: string;
    event_id: string;
    payload: string | null;
    answer: string | null;
    poison_row: string | null;
  }>('SELECT reason, detail, answer, event_id, payload, poison_row FROM walpost.dead_letters ORDER BY id');

test.each(['LATIN1', 'EUC_JP', 'SQL_ASCII'])('an answer and a cut row in a database in %s', async (encoding) => {
  await using database = await createTestDatabase({ encoding });
  await using relay = await start(database);
  await has(await publish(database, 'first'));
  const poison = await publish(database, 'poisoned', ', created_at', ", 'infinity'");
  const refused = await publish(database, 'refused');
  await poll(
    'its lane is told of',
    async () => (await database.query('SELECT FROM walpost.lanes WHERE answer IS NOT NULL')).length === 1 || undefined,
    30_000,
  );
  await has(await publish(database, 'next')); // others arrive, so the event is to blame
  await poll('both are dead letters', async () => (await letters(database)).length === 2 || undefined, 30_000);
  await has(await publish(database, 'last'));
  await relay.stop();

  const found = await letters(database);
  expect(new Map(found.map(({ event_id, reason }) => [event_id, reason]))).toEqual(
    new Map([
      [poison, 'poison'],
      [refused, 'failed'],
    ]),
  );
  const [row, letter] = ['poison', 'failed'].map((reason) => found.find((it) => it.reason === reason));
  expect(JSON.parse(row?.poison_row ?? '')).toMatchObject({ payload: expect.stringMatching(/x…$/) as string });
  expect(letter?.detail).toContain('422');
  expect(letter?.answer).toMatch(encoding !== 'SQL_ASCII' ? /\\u043a\\u043b\\u044e\\u0447.*\\u2026$/ : /ключ/);
  const log = await database.query<{ outcome: string; reason: string }>(
    "SELECT outcome, reason FROM walpost.delivery_log WHERE outcome <> 'delivered'",
  );
  expect(log.length).toBeGreaterThan(0);
  for (const row of log) expect(row).toEqual({ outcome: 'failed', reason: expect.stringContaining('422') as string });
});

test('a dead letter that the table refuses is told apart from the others and stored without its content', async () => {
  await using database = await createTestDatabase();
  await database.query(`ALTER TABLE walpost.dead_letters ADD CHECK (event_type <> 'b.refused' OR topic <> 'odd')`);
  await using relay = await start(database, { max_attempts: 1 });
  status = (body) => (body.includes('refused') ? 422 : 204);
  const plain = await publish(database, 'a.refused');
  await publish(database, 'b.refused', ', topic', ", 'odd'");
  await has(await publish(database, 'next')); // others arrive, so the events are to blame
  await poll('both are dead letters', async () => (await letters(database)).length === 2 || undefined, 30_000);
  await has(await publish(database, 'last'));
  await relay.stop();
  expect(await letters(database)).toEqual(
    expect.arrayContaining([
      expect.objectContaining({ event_id: plain, reason: 'failed' }),
      {
        reason: 'poison',
        detail: 'it could not be stored: SQLSTATE 23514',
        answer: null,
        event_id: null,
        payload: null,
        poison_row: '{}',
      },
    ]),
  );
});

test('an event that cannot be parked becomes a dead letter, and those beside it are parked', async () => {
  await using database = await createTestDatabase();
  await database.query(`ALTER TABLE walpost.parked ADD CHECK (event_type <> 'odd')`);
  await using relay = await start(database, {
    max_attempts: 100,
    park_after: '100ms',
    breaker: { reset_after: '300ms' },
  });
  let away = true;
  status = () => (away ? 503 : 204);
  const [first, odd, last] = [
    await publish(database, 'even'),
    await publish(database, 'odd'),
    await publish(database, 'even'),
  ];
  await poll('one is a dead letter', async () => (await letters(database)).length === 1 || undefined);
  away = false;
  await has(first);
  await has(last);
  await relay.stop();
  expect(await letters(database)).toEqual([
    expect.objectContaining({ event_id: odd, reason: 'rejected', detail: 'it cannot be parked' }),
  ]);
});
