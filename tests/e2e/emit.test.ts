import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { transactionWriter } from '../support/emitting.ts';
import { debianPostgresMissing, startDebianPostgres } from '../support/debian-postgres.ts';
import { type PostgresMajor, startServer } from '../support/server.ts';
import { EventReceiver, type ReceivedEvent } from './event-receiver.ts';
import { RunningWalpost } from './running-walpost.ts';

const missing = await debianPostgresMissing();
const organization = randomUUID();
const TRANSACTIONS = process.env['WALPOST_LONG'] === '1' ? 2_000 : 50;

let received: ReceivedEvent[];
let bodies: string[];
let receiver: EventReceiver;
beforeEach(async () => {
  [received, bodies] = [[], []];
  receiver = await EventReceiver.start(({ events }, body) => {
    received.push(...events);
    bodies.push(body.toString());
  });
});
afterEach(() => receiver[Symbol.asyncDispose]());

const start = (database: TestDatabase, source: object) =>
  RunningWalpost.start({
    database,
    sinks: { hook: receiver.sink() },
    config: { batching: { window: '10ms' }, source: { messages: true, ...source } },
  });

const numbers = (): number[] => received.map(({ payload }) => (payload as { n: number }).n);

/** All of it with one relay: what one transaction published and emitted arrives in the order in which it was written. */
async function arrivesInOrder(server: string | undefined, source: object): Promise<void> {
  await using database = await createTestDatabase(server === undefined ? {} : { server });
  await using walpost = await start(database, source);
  const transaction = transactionWriter(await database.client(), organization);
  await transaction('pepeepp');
  await transaction('epe', { from: 1000, end: 'ROLLBACK' });
  await transaction('e', { from: 1000, end: 'ROLLBACK' });
  await transaction('ep(pee)e(ep|p', { from: 7 }); // 9, 10 and 11 are taken back
  await transaction('e', { from: 16 });
  const expected = [0, 1, 2, 3, 4, 5, 6, 7, 8, 12, 13, 14, 15, 16];
  await receiver.received(expected.length);
  expect(numbers()).toEqual(expected);
  const places = received.map(({ lsn, ordinal }) => `${lsn} ${ordinal}`);
  expect(new Set(places).size).toBe(places.length);
  expect(received.map(({ ordinal }) => ordinal)).toEqual([0, 1, 2, 3, 4, 5, 6, 0, 1, 2, 3, 4, 5, 0]);

  let next = 17;
  for (let count = 0; count < TRANSACTIONS; count++) {
    const steps = Array.from({ length: 1 + (count % 7) }, (_, n) => ((count >> (n % 4)) & 1 ? 'e' : 'p')).join('');
    await transaction(steps, { from: next });
    next += steps.length;
  }
  await receiver.received(expected.length + next - 17);
  expect(numbers().slice(expected.length)).toEqual(Array.from({ length: next - 17 }, (_, n) => n + 17));
  await walpost.confirms(receiver.lastCommit);
  expect(await walpost.metric('walpost_messages_refused_total')).toBe(0);
  expect(await walpost.stop()).toMatchObject({ code: 0 });
}

describe('events of rows and of messages of one transaction arrive in the order in which they were written', () => {
  test('with pgoutput', { timeout: 120_000 }, () => arrivesInOrder(undefined, {}));

  test.each<PostgresMajor>(['15', '18'])('on Postgres %s', { timeout: 120_000 }, async (version) => {
    await using server = await startServer(version);
    await arrivesInOrder(server.url(), {});
  });

  test.skipIf(missing !== undefined)('with wal2json', { timeout: 120_000 }, async () => {
    await using server = await startDebianPostgres();
    await arrivesInOrder(server.url(), { plugin: 'wal2json' });
  });
});

/** The same arguments to both. */
async function sameEnvelope(server: string | undefined, source: object): Promise<void> {
  await using database = await createTestDatabase(server === undefined ? {} : { server });
  await using _walpost = await start(database, source);
  const payload = '{"e": "größe 👩‍🚀 \\" \\\\", "n": 12345678901234567890.10, "list": [1.0, null]}';
  const call = (name: string): string =>
    `SELECT walpost.${name}($1, 'größe', $2, topic => 'tö', entity_type => 'job', entity_id => 'é', target => 'slack',
                            headers => '{"a": 1.50}', event_version => 3) AS id`;
  const client = await database.client();
  await client.query('BEGIN');
  const ids: string[] = [];
  for (const name of ['publish', 'emit']) {
    ids.push((await client.query<{ id: string }>(call(name), [organization, payload])).rows[0]?.id ?? '');
  }
  await client.query(`SELECT walpost.publish($1, 'large', to_jsonb(repeat('é', 30000)))`, [organization]);
  await client.query(`SELECT walpost.emit($1, 'large', to_jsonb(repeat('é', 30000)))`, [organization]);
  await client.query('COMMIT');
  await receiver.received(4);
  const common = received.map(({ ordinal: _ordinal, ...event }) => ({ ...event, event_id: '', created_at: '' }));
  expect(received.slice(0, 2).map(({ event_id }) => event_id)).toEqual(ids);
  expect(common[1]).toEqual(common[0]);
  expect(common[3]).toEqual(common[2]);
  expect(bodies.join('').split(`"payload":${payload}`)).toHaveLength(3);
  const times = [...bodies.join('').matchAll(/"created_at":"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z)"/g)];
  const created = times.map(([, time = '']) => time);
  expect(created).toHaveLength(4);
  expect(created.toSorted((a, b) => a.localeCompare(b))).toEqual(created);
}

describe('the envelope is that of publish, byte for byte', () => {
  test('with pgoutput', { timeout: 60_000 }, () => sameEnvelope(undefined, {}));

  test.skipIf(missing !== undefined)('with wal2json', { timeout: 60_000 }, async () => {
    await using server = await startDebianPostgres();
    await sameEnvelope(server.url(), { plugin: 'wal2json' });
  });
});
