/** A publisher of one event map; what is refused before it is sent; transactions that are tried again. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { z } from 'zod';
import {
  createPublisher,
  NotInTransactionError,
  publish,
  PublishError,
  RetryableError,
  retryTransaction,
  status,
  TooLargeError,
  type Transaction,
  UnregisteredEventError,
  waitFor,
} from '../../packages/client/src/index.ts';
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
const event = { organizationId, eventType: 'a', payload: {} } as const;
const outbox = async (columns: string) => {
  await tx.query('COMMIT');
  return database.query(`SELECT ${columns} FROM walpost.outbox ORDER BY seq`);
};

test('a definition gives version and topic, and its schema makes the payload', async () => {
  const publisher = createPublisher({
    'job.done': { schema: z.object({ n: z.number().default(7) }), version: 3, topic: 'jobs' },
    note: z.string(),
  });
  await publisher.publish(tx, { organizationId, eventType: 'job.done', payload: {} });
  await publisher.publishMany(tx, [
    { organizationId, eventType: 'note', payload: 'a' },
    { organizationId, eventType: 'job.done', payload: { n: 1 }, topic: 'other', eventVersion: 2 },
  ]);
  const notes = ['a', {} as never].map((payload) => ({ organizationId, eventType: 'note', payload }) as const);
  await expect(publisher.publishMany(tx, notes)).rejects.toThrow(
    'event 2: the payload of "note" does not fit its schema: it: expected string, got an object',
  );
  expect(await outbox('event_type, event_version, topic, payload')).toEqual([
    { event_type: 'job.done', event_version: 3, topic: 'jobs', payload: { n: 7 } },
    { event_type: 'note', event_version: 1, topic: 'default', payload: 'a' },
    { event_type: 'job.done', event_version: 2, topic: 'other', payload: { n: 1 } },
  ]);
});

test('a type that is not in the map is refused, also one that every object has', async () => {
  const publisher = createPublisher({ a: z.unknown() });
  for (const eventType of ['b', 'toString']) {
    await expect(publisher.publish(tx, { ...event, eventType: eventType as 'a' })).rejects.toThrow(
      `"${eventType}" is not in the event map: a`,
    );
  }
});

test('plain types have the versions that are given', async () => {
  const publisher = createPublisher<{ a: object; b: { n: bigint } }>({ a: 1, b: 2 });
  await publisher.publish(tx, { organizationId, eventType: 'b', payload: { n: 2n ** 64n } });
  await createPublisher<{ a: object }>().publish(tx, event);
  // @ts-expect-error: b has another payload, and c does not exist
  void [() => publisher.publish(tx, { organizationId, eventType: 'b', payload: {} })];
  expect(await outbox('event_version, payload::text')).toEqual([
    { event_version: 2, payload: '{"n": 18446744073709551616}' },
    { event_version: 1, payload: '{}' },
  ]);
});

test('a command takes and returns what its schemas say, and runs once', async () => {
  await tx.query(`CREATE FUNCTION public.add(a jsonb) RETURNS jsonb LANGUAGE sql
    AS 'SELECT jsonb_build_object(''sum'', (a ->> ''x'')::int + (a ->> ''y'')::int)'`);
  const add = { arguments: z.object({ x: z.number(), y: z.number() }), result: z.object({ sum: z.number() }) };
  const publisher = createPublisher({}, { 'public.add': add });
  const command = { organizationId, idempotencyKey: 'k', command: 'public.add', arguments: { x: 1, y: 2 } } as const;
  const { sum } = await publisher.once(tx, command);
  expect([sum, await publisher.once(tx, command)]).toEqual([3, { sum: 3 }]);
  await expect(publisher.once(tx, { ...command, arguments: { x: 1 } as never })).rejects.toMatchObject({
    problems: [{ path: 'y', expected: 'number', got: 'nothing' }],
  });
  await expect(publisher.once(tx, { ...command, command: 'public.sub' as never })).rejects.toThrow('public.add');
});

test.each([
  ['SELECT 1 / (a ->> 0)::int', '22012', 'division by zero'],
  ['SELECT id FROM public.nowhere', '42P01', 'relation "public.nowhere" does not exist'],
  [undefined, '42883', 'function "public.command(jsonb)" does not exist'],
])('an error of a command is not taken for one of walpost: %s', async (body, code, message) => {
  const create = `CREATE FUNCTION public.command(a jsonb) RETURNS jsonb LANGUAGE plpgsql AS 'BEGIN RETURN to_jsonb((${body})); END'`;
  if (body !== undefined) await tx.query(create);
  const command = { organizationId, idempotencyKey: 'k', command: 'public.command', arguments: [0] };
  const error = await createPublisher({})
    .once(tx, command as never)
    .catch((thrown: unknown) => thrown);
  expect(error).toMatchObject({ name: 'PublishError', code, message, hint: undefined });
});

test('a type that is not registered is an error of its own', async () => {
  await database.query(`INSERT INTO walpost.settings (name, value) VALUES ('check_event_types', '"strict"')`);
  const error = await publish(tx, event).catch((thrown: unknown) => thrown);
  expect(error).toBeInstanceOf(UnregisteredEventError);
  expect(error).toMatchObject({ hint: expect.stringContaining('INSERT INTO walpost.event_types') as string });
});

test('a payload above the limit of its topic is not sent, and the transaction goes on', async () => {
  await database.query(`INSERT INTO walpost.settings VALUES ('max_payload_bytes', 'large', '100000')`);
  const payload = 'x'.repeat(70_000);
  const refused = async (topic: string, text: string) => {
    const error = await publish(tx, { ...event, topic, payload: text }).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(TooLargeError);
    return (error as TooLargeError).message;
  };
  expect(await refused('default', payload)).toBe('walpost: the payload has 70002 bytes, the limit is 65536');
  expect(await refused('large', 'ö'.repeat(50_000))).toBe('walpost: the payload has 100002 bytes, the limit is 100000');
  expect(await refused('large', 'x'.repeat(2 ** 20))).toBe(
    'walpost: the payload has 1048578 bytes, the limit is 1048576',
  );
  await publish(tx, { ...event, topic: 'large', payload });
  expect(await outbox('topic')).toEqual([{ topic: 'large' }]);
});

test('where a client does not say whether it is in a transaction, Postgres does', async () => {
  const silent: Transaction = { query: (text, values) => tx.query(text, values) };
  await publish(silent, event);
  await tx.query('ROLLBACK');
  await expect(publish(silent, event)).rejects.toBeInstanceOf(NotInTransactionError);
  await expect(publish(tx, event)).rejects.toBeInstanceOf(NotInTransactionError);
  // A BEGIN that nobody waited for is one.
  void tx.query('BEGIN');
  await publish(tx, event);
  expect(await outbox('event_type')).toHaveLength(1);
});

test('after an error the transaction says that it has failed', async () => {
  await expect(publish(tx, { ...event, eventType: '' })).rejects.toBeInstanceOf(PublishError);
  await expect(publish(tx, event)).rejects.toMatchObject({
    code: '25P02',
    hint: expect.stringContaining('roll it back') as string,
  });
});

test('an error of the connection stays what it is', async () => {
  const broken: Transaction = {
    query: () => Promise.reject(Object.assign(new Error('reset'), { code: 'ECONNRESET' })),
  };
  const error = await publish(broken, event).catch((thrown: unknown) => thrown);
  expect(error).not.toBeInstanceOf(PublishError);
  expect(error).toMatchObject({ code: 'ECONNRESET' });
});

test('a database without walpost says what to do', async () => {
  await using empty = await createTestDatabase({ migrated: false });
  const client = await empty.client();
  await client.query('BEGIN');
  await expect(publish(client, event)).rejects.toMatchObject({
    name: 'NotMigratedError',
    hint: 'Run walpost migrate on this database.',
  });
});

test('a transaction that could not be serialized is tried again, and succeeds', async () => {
  await database.query('CREATE TABLE counter AS SELECT 0 AS n');
  const rival = await database.client();
  const attempts: number[] = [];
  const id = await retryTransaction(
    async (attempt) => {
      attempts.push(attempt);
      await tx.query('ROLLBACK; BEGIN ISOLATION LEVEL REPEATABLE READ');
      await tx.query('SELECT n FROM counter');
      if (attempt === 1) await rival.query('UPDATE counter SET n = n + 1');
      const published = await publish(tx, event);
      await tx.query('UPDATE counter SET n = n + 1');
      await tx.query('COMMIT');
      return published;
    },
    { firstPauseMs: 0 },
  );
  expect(attempts).toEqual([1, 2]);
  expect(await outbox('event_id')).toEqual([{ event_id: id }]);
});

test('other errors are thrown at once, and these in the end', async () => {
  const attempts: number[] = [];
  const fail = (code: string) => (attempt: number) => {
    attempts.push(attempt);
    return Promise.reject(Object.assign(new Error('no'), { code }));
  };
  await expect(retryTransaction(fail('23505'), { firstPauseMs: 0 })).rejects.toMatchObject({ code: '23505' });
  await expect(retryTransaction(fail('40P01'), { attempts: 3, firstPauseMs: 0 })).rejects.toMatchObject({
    code: '40P01',
  });
  expect(attempts).toEqual([1, 1, 2, 3]);
  const stop = AbortSignal.abort(new Error('stopped'));
  await expect(retryTransaction(fail('40001'), { signal: stop })).rejects.toThrow('stopped');
  await expect(retryTransaction(() => Promise.reject(new RetryableError('again')), { attempts: 1 })).rejects.toThrow(
    'again',
  );
});

test('a publisher asks for its own organization, without a transaction', async () => {
  await using role = await createRole(database, { in: ['walpost_publisher'] });
  const app = await role.client();
  const id = await publish(tx, event);
  await tx.query('COMMIT');
  expect(await status(app, id)).toBe(null);
  expect(await status(app, id, { organizationId })).toBe('pending');
  expect(await status(app, id)).toBe(null);
  await expect(waitFor(app, id, { organizationId, timeoutMs: 1 })).rejects.toThrow('it is still pending');
  await expect(waitFor(app, id, { timeoutMs: 1 })).rejects.toThrow('no such event, or it is not visible here');
  await database.query(
    `INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, attempts, event_id, organization_id)
       VALUES ('s', '1', 1, 'k', 'failed', 'no', 3, $1, $2)`,
    [id, organizationId],
  );
  expect(await waitFor(app, id, { organizationId })).toBe('dead');
});
