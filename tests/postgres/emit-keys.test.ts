import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { EmitKey } from '../../src/emit-key.ts';
import type { Origin } from '../../src/event.ts';
import { parseLsn } from '../../src/lsn.ts';
import { CursorStore } from '../../src/postgres/cursor/cursor-store.ts';
import { EmitKeys } from '../../src/emit/emit-keys.ts';
import { recordMessageMode } from '../../src/emit/message-mode.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createRole } from '../support/database-role.ts';
import { sampleEvent } from '../support/sample-event.ts';

let database: TestDatabase;
let pool: ReturnType<typeof createPool>;
beforeEach(async () => {
  database = await createTestDatabase();
  pool = createPool(database.url, { applicationName: 'test', max: 2 });
});
afterEach(async () => {
  await pool.end();
  await database[Symbol.asyncDispose]();
});

const one = async (sql: string): Promise<string> => Object.values((await database.query(sql))[0] ?? {})[0] as string;
const walEnd = async (): Promise<bigint> => parseLsn(await one('SELECT pg_current_wal_insert_lsn()::text')) ?? 0n;
const rotate = async (grace: string): Promise<number> =>
  Number(await one(`SELECT walpost.rotate_emit_key('${grace}')`));
const microsNow = async (): Promise<bigint> =>
  BigInt(await one(`SELECT (extract(epoch FROM clock_timestamp() - '2000-01-01+00') * 1000000)::bigint::text`));

const origin = (commitLsn: bigint, committedAtMicros = 0n): Origin => ({
  ...sampleEvent().origin,
  commitLsn,
  committedAtMicros,
});
const isSecret = (key: EmitKey): boolean => Buffer.isBuffer(key) && key.length === 32;

test('a key that was not read is unknown to what committed before the reading, and may be new to what came after', async () => {
  const keys = new EmitKeys(pool);
  expect(keys.keyOf(1, origin(1n))).toBe('outdated'); // nothing was read yet
  const before = await walEnd();
  await keys.read();
  await database.query(`SELECT walpost.publish($1, 'a', '{}')`, [randomUUID()]);
  const after = await walEnd();
  expect(isSecret(keys.keyOf(1, origin(after)))).toBe(true);
  expect(keys.keyOf(2, origin(before - 1n))).toBe('unknown_key');
  expect(keys.keyOf(2, origin(after))).toBe('outdated');
  expect(await rotate('1 day')).toBe(2);
  await keys.read();
  expect(isSecret(keys.keyOf(2, origin(after)))).toBe(true);
});

test('a key holds for what committed before it expired', async () => {
  const keys = new EmitKeys(pool);
  const before = await microsNow();
  await rotate('0');
  const after = await microsNow();
  await keys.read();
  expect(isSecret(keys.keyOf(1, origin(1n, before)))).toBe(true);
  expect(keys.keyOf(1, origin(1n, after))).toBe('expired_key');
  expect(isSecret(keys.keyOf(2, origin(1n, after)))).toBe(true);
});

test('a role that sees no key is told which right it lacks', async () => {
  await using role = await createRole(database, { in: ['pg_read_all_data'] });
  const blind = createPool(role.url, { applicationName: 'test', max: 1 });
  await expect(new EmitKeys(blind).read()).rejects.toMatchObject({ code: 'EMIT_KEYS' });
  await blind.end();
});

test('the mode is recorded, but not changed while events of an open transaction are stored', async () => {
  const cursor = await CursorStore.claim(pool, { slot: 'a', systemIdentifier: '1', timeline: 1 });
  const mode = () => database.query('SELECT messages FROM walpost.cursor');
  await recordMessageMode(pool, cursor, true);
  expect(await mode()).toEqual([{ messages: true }]);
  await cursor.advance(0x100n);
  await database.query(
    `INSERT INTO walpost.parked (slot, epoch, sink, organization_id, history, order_lsn, order_job, place, commit_lsn, ordinal,
                                 event_id, event_type, event_version, topic, payload, headers, size, received_at)
     VALUES ('a', 1, 's', 'o', 0, '0/100', false, 0, '0/100', 0, 'e', 'a', 1, 't', '{}', '{}', 1, now())`,
  );
  await recordMessageMode(pool, cursor, true);
  await expect(recordMessageMode(pool, cursor, false)).rejects.toMatchObject({ code: 'MESSAGES_CHANGED' });
  expect(await mode()).toEqual([{ messages: true }]);
  await cursor.advance(0x101n);
  await recordMessageMode(pool, cursor, false);
  expect(await mode()).toEqual([{ messages: false }]);
  await database.query(
    `INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, reason, detail, attempts, commit_lsn, ordinal)
     VALUES ('a', '1', 1, 'failed', 'd', 1, '0/101', 0)`,
  );
  await expect(recordMessageMode(pool, cursor, true)).rejects.toMatchObject({ code: 'MESSAGES_CHANGED' });
});

test('an older leader does not change it', async () => {
  const old = await CursorStore.claim(pool, { slot: 'a', systemIdentifier: '1', timeline: 1 });
  await CursorStore.claim(pool, { slot: 'a', systemIdentifier: '1', timeline: 1 });
  await expect(recordMessageMode(pool, old, true)).rejects.toMatchObject({ code: 'LEADERSHIP_LOST' });
});
