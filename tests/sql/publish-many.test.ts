import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createPool } from '../../src/postgres/pool.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';

const organization_id = randomUUID();
const MANY = 'SELECT id FROM walpost.publish_many($1::jsonb) AS id';

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(() => database[Symbol.asyncDispose]());

const publish = async (events: unknown): Promise<string[]> =>
  (await database.query<{ id: string }>(MANY, [JSON.stringify(events)])).map(({ id }) => id);

const rows = () =>
  database.query<{ event_id: string; event_type: string }>('SELECT * FROM walpost.outbox ORDER BY seq');

test('every name arrives in its column, the rest takes the defaults of publish', async () => {
  const full = {
    organization_id,
    event_type: 'job.completed',
    payload: { n: 1 },
    topic: 'cataloging',
    entity_type: 'job',
    entity_id: '42',
    target: 'slack',
    headers: { a: 'b' },
    idempotency_key: 'k',
    event_version: 3,
  };
  const few = { organization_id, event_type: 'b', payload: null, headers: null };
  const ids = await publish([full, few]);
  expect(await rows()).toMatchObject([
    { event_id: ids[0], ...full },
    { event_id: ids[1], event_type: 'b', payload: null, topic: 'default', headers: {}, event_version: 1, target: null },
  ]);
  expect(await publish([])).toEqual([]);
});

test('the order is kept, in the ids and in the table, with one INSERT', async () => {
  await database.query(`
    CREATE TABLE public.statements (n bigint);
    CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN INSERT INTO public.statements SELECT count(*) FROM added; RETURN NULL; END $$;
    CREATE TRIGGER note AFTER INSERT ON walpost.outbox REFERENCING NEW TABLE AS added
      FOR EACH STATEMENT EXECUTE FUNCTION public.note()`);
  const names = Array.from({ length: 2_000 }, (_, n) => `e${n}`);
  const ids = await publish(names.map((event_type) => ({ organization_id, event_type, payload: {} })));
  expect((await rows()).map((row) => [row.event_id, row.event_type])).toEqual(names.map((name, n) => [ids[n], name]));
  expect(await database.query('SELECT n::int FROM public.statements')).toEqual([{ n: 2_000 }]);
});

test('digits of numbers in payloads survive', async () => {
  await database.query(MANY, [
    `[{"organization_id": "${organization_id}", "event_type": "a", "payload": 12345678901234567890.10}]`,
  ]);
  expect(await database.query('SELECT payload::text FROM walpost.outbox')).toEqual([
    { payload: '12345678901234567890.10' },
  ]);
});

test('a key that is known, or comes twice in the array, gives the first id and writes nothing', async () => {
  const event = (event_type: string, idempotency_key?: string) => ({
    organization_id,
    event_type,
    payload: {},
    ...(idempotency_key && { idempotency_key }),
  });
  const [known] = await publish([event('first', 'k')]);
  const ids = await publish([event('again', 'k'), event('a', 'x'), event('b'), event('c', 'x'), event('d', 'y')]);
  expect(ids[0]).toBe(known);
  expect(ids[3]).toBe(ids[1]);
  expect(new Set(ids).size).toBe(4);
  expect((await rows()).map((row) => row.event_type)).toEqual(['first', 'a', 'b', 'd']);
});

test('calls with the same keys in other orders at once neither lock each other out nor write twice', async () => {
  const pool = createPool(database.url, { applicationName: 'publishers', max: 30 });
  const keys = Array.from({ length: 40 }, (_, n) => `k${n}`);
  const answers = await Promise.all(
    Array.from({ length: 30 }, async (_, n) => {
      const mine = n % 2 === 0 ? keys : keys.toReversed();
      const events = mine.map((key) => ({ organization_id, event_type: key, payload: {}, idempotency_key: key }));
      const { rows } = await pool.query<{ id: string }>(MANY, [JSON.stringify(events)]);
      const ids = rows.map(({ id }) => id);
      return n % 2 === 0 ? ids : ids.toReversed();
    }),
  );
  await pool.end();
  expect(new Set(answers.map((ids) => ids.join())).size).toBe(1);
  expect((await rows()).map((row) => row.event_id).toSorted()).toEqual(answers[0]?.toSorted());
});

test.each([
  ['null', '22023', 'must be a JSON array, not null'],
  ['{}', '22023', 'must be a JSON array, not object'],
  ['[1]', '22023', 'event 1 is no object but number'],
  ['[{}]', '22004', 'event 1: organization_id must not be null'],
  [`[{"organization_id": "ID", "event_type": "a"}]`, '22004', 'event 1: payload must not be null'],
  [
    `[{"organization_id": "ID", "event_type": "a", "payload": 1}, {"organization_id": "ID", "event_type": "", "payload": 1}]`,
    '22023',
    'event 2: event_type must have 1 to 255',
  ],
  [`[{"organisation_id": "ID"}]`, '22023', 'event 1 has the unknown name "organisation_id"'],
  [`[{"organization_id": "x", "event_type": "a", "payload": 1}]`, '22P02', 'uuid'],
  ...['-1', '0', '32768', '99999999999', '1.5', '-2.0', '"0"', '"-1"', '"1.5"', '1e2000'].map(
    (version): [string, string, string] => [
      `[{"organization_id": "ID", "event_type": "a", "payload": 1, "event_version": ${version}}]`,
      '22023',
      'event 1: event_version must be a whole number from 1 to 32767, not ',
    ],
  ),
  ...[
    ['"tomorrowish"', '22007', "event 1: expires_at is no time but 'tomorrowish'"],
    ['1', '22007', "event 1: expires_at is no time but '1'"],
    ['"2026-02-30T00:00:00Z"', '22007', 'event 1: expires_at is no time but'],
    ['"infinity"', '22023', 'event 1: expires_at must be a time in the years 1 to 9999'],
  ].map(([time = '', code = '', message = '']): [string, string, string] => [
    `[{"organization_id": "ID", "event_type": "a", "payload": 1, "expires_at": ${time}}]`,
    code,
    message,
  ]),
  ...['"x"', '""', '"1e2"', 'true', '{}', '[1]'].map((version): [string, string, string] => [
    `[{"organization_id": "ID", "event_type": "a", "payload": 1, "event_version": ${version}}]`,
    '22P02',
    `event 1: event_version is no number but ${version}`,
  ]),
])('refused: %s', async (events, code, message) => {
  const given = events === 'null' ? null : events.replaceAll('ID', organization_id);
  await expect(database.query(MANY, [given])).rejects.toMatchObject({
    code,
    message: expect.stringContaining(message) as string,
  });
  expect(await rows()).toEqual([]);
});

test('event_version: a whole number, also as a text; null is 1', async () => {
  const versions = ['1', '32767', '2.0', '"2"', '"32767"', 'null'];
  await database.query(MANY, [
    `[${versions.map((version) => `{"organization_id": "${organization_id}", "event_type": "a", "payload": 1, "event_version": ${version}}`).join(', ')}]`,
  ]);
  expect(await database.query('SELECT event_version AS v FROM walpost.outbox ORDER BY seq')).toEqual(
    [1, 32767, 2, 2, 32767, 1].map((v) => ({ v })),
  );
});

test.each(['event_type', 'entity_type', 'entity_id', 'target', 'topic', 'idempotency_key'])(
  'a long %s: error and hint name that field and no other',
  async (name) => {
    const event = { organization_id, event_type: 'a', payload: {}, [name]: 'x'.repeat(1025) };
    const error = await publish([event]).catch((reason: unknown) => reason as pg.DatabaseError);
    expect(error).toMatchObject({
      code: '22023',
      message: expect.stringMatching(`^walpost.publish_many: event 1: ${name} must have`) as string,
      hint: expect.stringMatching(/\.$/) as string,
    });
    const others = ['entity_type', 'entity_id', 'target'].filter((other) => other !== name);
    expect(others.filter((other) => (error as pg.DatabaseError).hint?.includes(other))).toEqual([]);
  },
);

test('the trace of the session is in the headers of what publish and publish_many write', async () => {
  const trace = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const event = { organization_id, event_type: 'many', payload: {} };
  const one = (headers: string) =>
    database.query(`SELECT walpost.publish($1, 'one', '{}', headers => $2)`, [organization_id, headers]);
  await database.query(`SELECT set_config('walpost.traceparent', $1, false)`, [trace]);
  await publish([event]);
  await one('{"a": 1}');
  await one('{"traceparent": "mine"}');
  for (const none of ['', 'garbage']) {
    await database.query(`SELECT set_config('walpost.traceparent', $1, false)`, [none]);
    await one('{}');
  }
  expect(await database.query('SELECT headers FROM walpost.outbox ORDER BY seq')).toEqual(
    [{ traceparent: trace }, { a: 1, traceparent: trace }, { traceparent: 'mine' }, {}, {}].map((headers) => ({
      headers,
    })),
  );
});
