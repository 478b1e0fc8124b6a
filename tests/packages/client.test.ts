import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  InvalidEventError,
  type NewEvent,
  NotAllowedError,
  NotInTransactionError,
  publish,
  publishMany,
  type Transaction,
  withOrganization,
} from '../../packages/client/src/index.ts';
import { jsonText } from '../../packages/client/src/json-text.ts';
import { newPool } from '../support/client.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createRole } from '../support/database-role.ts';

let database: TestDatabase;
let tx: pg.Client;
beforeEach(async () => {
  database = await createTestDatabase();
  tx = await database.client();
  await tx.query('BEGIN');
});
afterEach(() => database[Symbol.asyncDispose]());

const organizationId = randomUUID();
const outbox = async (columns: string) => {
  await tx.query('COMMIT');
  return database.query(`SELECT ${columns} FROM walpost.outbox ORDER BY seq`);
};

test('an event has what it was given, and the defaults of walpost.publish', async () => {
  const id = await publish(tx, {
    organizationId,
    eventType: 'job.completed',
    payload: { job_id: 2n ** 80n, text: 'größe "1"', mark: '"bigint:1"' },
    topic: 'jobs',
    entityType: 'job',
    entityId: '7',
    target: 'browser',
    headers: { tenant: 'a', n: -(2n ** 64n) },
    eventVersion: 2,
    expiresAt: new Date('2030-01-01T00:00:00.500Z'),
  });
  await publish(tx, { organizationId, eventType: 'a.b', payload: null, topic: null });
  const columns =
    'event_id, event_type, event_version, topic, entity_type, entity_id, target, payload::text, headers::text, expires_at';
  expect(await outbox(columns)).toEqual([
    {
      event_id: id,
      event_type: 'job.completed',
      event_version: 2,
      topic: 'jobs',
      entity_type: 'job',
      entity_id: '7',
      target: 'browser',
      payload: '{"mark": "\\"bigint:1\\"", "text": "größe \\"1\\"", "job_id": 1208925819614629174706176}',
      headers: '{"n": -18446744073709551616, "tenant": "a"}',
      expires_at: new Date('2030-01-01T00:00:00.500Z'),
    },
    expect.objectContaining({
      event_version: 1,
      topic: 'default',
      entity_type: null,
      payload: 'null',
      headers: '{}',
      expires_at: null,
    }),
  ]);
});

test('a repeated key gives the first id', async () => {
  const event: NewEvent = { organizationId, eventType: 'a.b', payload: {}, idempotencyKey: 'k' };
  const first = await publish(tx, event);
  expect(await publish(tx, event)).toBe(first);
  expect(await publishMany(tx, [event, { ...event, idempotencyKey: 'l' }])).toEqual([
    first,
    expect.not.stringMatching(first),
  ]);
  expect(await outbox('event_id')).toHaveLength(2);
});

test('many events keep their order and their numbers', async () => {
  const events = Array.from({ length: 50 }, (_, n) => ({
    organizationId,
    eventType: 'a.b',
    payload: { n: BigInt(n) },
  }));
  const ids = await publishMany(tx, events);
  expect(await publishMany(tx, [])).toEqual([]);
  expect(await outbox('event_id, payload')).toEqual(ids.map((event_id, n) => ({ event_id, payload: { n } })));
});

test('a payload is turned into JSON once for each event', async () => {
  let reads = 0;
  const payload = { toJSON: () => ({ read: ++reads, large: 2n ** 70n }) };
  await publish(tx, { organizationId, eventType: 'a.b', payload });
  await publishMany(tx, [
    { organizationId, eventType: 'a.b', payload, headers: { n: 2n ** 65n } },
    { organizationId, eventType: 'a.b', payload },
  ]);
  expect(await outbox('payload::text, headers::text')).toEqual([
    { payload: '{"read": 1, "large": 1180591620717411303424}', headers: '{}' },
    { payload: '{"read": 2, "large": 1180591620717411303424}', headers: '{"n": 36893488147419103232}' },
    { payload: '{"read": 3, "large": 1180591620717411303424}', headers: '{}' },
  ]);
});

test('what is rolled back was never published', async () => {
  await publish(tx, { organizationId, eventType: 'a.b', payload: {} });
  await tx.query('ROLLBACK');
  expect(await database.query('SELECT FROM walpost.outbox')).toEqual([]);
});

test('withOrganization holds for the transaction, and no longer', async () => {
  await using role = await createRole(database, { in: ['walpost_publisher'] });
  const app = await role.client();
  const event = { organizationId, eventType: 'a.b', payload: {} };
  await app.query('BEGIN');
  await withOrganization(app, organizationId);
  await publish(app, event);
  await expect(publish(app, { ...event, organizationId: randomUUID() })).rejects.toMatchObject({ code: '42501' });
  await app.query('ROLLBACK; BEGIN');
  await expect(publish(app, event)).rejects.toBeInstanceOf(NotAllowedError);
  await app.query('ROLLBACK');
});

test('an event that is not acceptable is the error of walpost.publish, as a class', async () => {
  const error = await publish(tx, { organizationId, eventType: '', payload: {} }).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(InvalidEventError);
  expect(error).toMatchObject({ code: '22023', hint: 'Name what happened, such as job.completed.' });
});

/** A client of node-postgres fits, and a pool does not. */
const accepted: [pg.ClientBase extends Transaction ? true : false, pg.Pool extends Transaction ? true : false] = [
  true,
  false,
];

test('a pool is refused, by the compiler and when it runs', async () => {
  expect(accepted).toEqual([true, false]);
  const pool = newPool({ connectionString: database.url });
  const event = { organizationId, eventType: 'a.b', payload: {} };
  await expect(publish(pool as unknown as Transaction, event)).rejects.toBeInstanceOf(NotInTransactionError);
  await pool.end();
});

test('what JSON has no form for is an error before anything is sent', async () => {
  expect(() => jsonText(undefined)).toThrow(TypeError);
  await expect(publish(tx, { organizationId, eventType: 'a.b', payload: undefined })).rejects.toThrow('form in JSON');
  expect(jsonText([1n, { a: -2n, b: new Date(0) }])).toBe('[1,{"a":-2,"b":"1970-01-01T00:00:00.000Z"}]');
});
