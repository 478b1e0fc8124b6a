/** A known idempotency key that comes with another event. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { createRole, type DatabaseRole } from '../support/database-role.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';

let database: TestDatabase;
let role: DatabaseRole;
let client: pg.Client;
const warnings: string[] = [];
let organization: string;
beforeAll(async () => {
  database = await createTestDatabase();
  role = await createRole(database, { in: ['walpost_publisher'] });
  client = await role.client();
  client.on('notice', ({ message }) => warnings.push(message ?? ''));
});
beforeEach(async () => {
  organization = randomUUID();
  await client.query(`SELECT set_config('app.current_org_id', $1, false)`, [organization]);
  warnings.length = 0;
});
afterAll(async () => {
  await role[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const publish = async (type: string, payload: string, more = ''): Promise<string> => {
  const sql = `SELECT walpost.publish($1, $2, $3, idempotency_key => 'k'${more}) AS id`;
  return (await client.query<{ id: string }>(sql, [organization, type, payload])).rows[0]?.id ?? '';
};
const many = async (events: object[], more = ''): Promise<string[]> => {
  const given = events.map((event) => ({ organization_id: organization, event_type: 'a', payload: {}, ...event }));
  const sql = `SELECT walpost.publish_many($1${more}) AS id`;
  return (await client.query<{ id: string }>(sql, [JSON.stringify(given)])).rows.map(({ id }) => id);
};
const conflicts = async (): Promise<number> =>
  (await database.query<{ n: number }>('SELECT idempotency_conflicts::int AS n FROM walpost.health'))[0]?.n ?? -1;

test('the same event under its key says nothing, also when its JSON is written in another way', async () => {
  const before = await conflicts();
  const id = await publish('a', '{"x": 1, "y": [2]}');
  expect(await publish('a', '{"y":[2],"x":1}', `, on_conflict => 'error'`)).toBe(id);
  expect(await many([{ payload: { y: [2], x: 1 }, idempotency_key: 'k' }], `, 'error'`)).toEqual([id]);
  expect(warnings).toEqual([]);
  expect(await conflicts()).toBe(before);
});

test('another type or payload gives the first id, a warning, and counts', async () => {
  const before = await conflicts();
  const id = await publish('a', '{"x": 1}');
  expect([await publish('b', '{"x": 1}'), await publish('a', '{"x": 2}')]).toEqual([id, id]);
  expect(await many([{ idempotency_key: 'k' }, { idempotency_key: 'new' }])).toEqual([id, expect.any(String)]);
  const said = `nothing was written, because the idempotency_key stands for the event ${id}, which has another type or payload`;
  expect(warnings).toEqual([
    `walpost.publish: ${said}`,
    `walpost.publish: ${said}`,
    `walpost.publish_many: event 1: ${said}`,
  ]);
  expect(await conflicts()).toBe(before + 3);
});

test("on_conflict => 'error' refuses it, and still counts", async () => {
  const before = await conflicts();
  const id = await publish('a', '{}');
  const refusal = { code: '22023', message: expect.stringContaining(id) as string, hint: expect.stringMatching(/\.$/) };
  await expect(publish('b', '{}', `, on_conflict => 'error'`)).rejects.toMatchObject(refusal);
  await expect(
    many([{ idempotency_key: 'x' }, { payload: 1, idempotency_key: 'x' }], `, 'error'`),
  ).rejects.toMatchObject({
    code: '22023',
    message: expect.stringMatching(/^walpost.publish_many: event 2: /) as string,
  });
  expect(await conflicts()).toBe(before + 2);
  for (const call of [publish('a', '{}', `, on_conflict => 'replace'`), many([], `, 'replace'`)]) {
    await expect(call).rejects.toMatchObject({
      code: '22023',
      message: expect.stringContaining('warn or error') as string,
    });
  }
});

test('a key whose hash is not known never conflicts', async () => {
  const id = randomUUID();
  await client.query(
    `INSERT INTO walpost.idempotency_keys (organization_id, idempotency_key, event_id) VALUES ($1, 'k', $2)`,
    [organization, id],
  );
  expect(await publish('a', '{}', `, on_conflict => 'error'`)).toBe(id);
  expect(warnings).toEqual([]);
});
