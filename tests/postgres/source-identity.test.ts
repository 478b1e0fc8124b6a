import { afterEach, beforeEach, expect, test } from 'vitest';
import type pg from 'pg';
import { CheckpointStore } from '../../src/postgres/cursor/checkpoints.ts';
import { CursorStore } from '../../src/postgres/cursor/cursor-store.ts';
import { createPool } from '../../src/postgres/pool.ts';
import {
  adoptAwaited,
  awaitedJob,
  awaiting,
  INCOMPLETE,
  lookAtSource,
  markIncomplete,
  xidOfNow,
} from '../../src/postgres/source/completeness.ts';
import { poll } from '../support/slot-session.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

const SOURCE = { publication: 'odd one', table: '"My.Schema"."out, box"' };
const SLOT = 'walpost_test';
const TABLE = SOURCE.table;

let database: TestDatabase;
let pool: pg.Pool;
let cursor: CursorStore;

beforeEach(async () => {
  database = await createTestDatabase();
  await database.query(`CREATE SCHEMA "My.Schema"; CREATE TABLE ${TABLE} (id int, note text);
    CREATE PUBLICATION "odd one" FOR TABLE ${TABLE} WITH (publish = 'insert')`);
  pool = createPool(database.url, { applicationName: 'test', max: 2 });
  cursor = await CursorStore.claim(pool, { slot: SLOT, systemIdentifier: '1', timeline: 1 });
});

afterEach(async () => {
  await pool.end();
  await database[Symbol.asyncDispose]();
});

const look = () => lookAtSource(pool, cursor, SOURCE);
const present = async (): Promise<string | null> => (await look()).present;

/** Rows may be missing although all is well again, so it must be another one than before. */
const TAKEN_BACK = [
  [
    'the table leaves and comes back',
    `ALTER PUBLICATION "odd one" DROP TABLE ${TABLE}; ALTER PUBLICATION "odd one" ADD TABLE ${TABLE}`,
  ],
  [
    'no inserts for a while',
    `ALTER PUBLICATION "odd one" SET (publish = 'update'); ALTER PUBLICATION "odd one" SET (publish = 'insert')`,
  ],
  ['a filter of rows', `ALTER PUBLICATION "odd one" SET TABLE ${TABLE} WHERE (id > 1)`],
  ['a publication made again', `DROP PUBLICATION "odd one"; CREATE PUBLICATION "odd one" FOR TABLE ${TABLE}`],
  [
    'a table made again',
    `DROP TABLE ${TABLE}; CREATE TABLE ${TABLE} (id int); ALTER PUBLICATION "odd one" ADD TABLE ${TABLE}`,
  ],
  ['the whole schema instead of the table', `ALTER PUBLICATION "odd one" SET TABLES IN SCHEMA "My.Schema"`],
  ['all tables instead of this one', 'DROP PUBLICATION "odd one"; CREATE PUBLICATION "odd one" FOR ALL TABLES'],
] as const;

test.for(TAKEN_BACK)('%s: another identity', async ([, sql]) => {
  const before = await present();
  expect(before).not.toBeNull();
  await database.query(sql);
  const after = await present();
  expect(after).not.toBeNull();
  expect(after).not.toBe(before);
});

const BROKEN = [
  ['outside the publication', `ALTER PUBLICATION "odd one" DROP TABLE ${TABLE}`],
  ['without inserts', `ALTER PUBLICATION "odd one" SET (publish = 'update')`],
  ['no publication', 'DROP PUBLICATION "odd one"'],
  ['no table', `DROP TABLE ${TABLE}`],
  ['another name', `ALTER TABLE ${TABLE} RENAME TO other`],
  ['no schema', 'ALTER SCHEMA "My.Schema" RENAME TO other'],
  ['unlogged', `ALTER PUBLICATION "odd one" SET TABLES IN SCHEMA "My.Schema"; ALTER TABLE ${TABLE} SET UNLOGGED`],
] as const;

test.for(BROKEN)('%s: no identity', async ([, sql]) => {
  await database.query(sql);
  expect(await present()).toBeNull();
});

test('a partition that is unlogged: no identity, and then the same as before', async () => {
  await database.query(`DROP TABLE ${TABLE}; CREATE TABLE ${TABLE} (id int) PARTITION BY RANGE (id);
    CREATE TABLE low PARTITION OF ${TABLE} FOR VALUES FROM (MINVALUE) TO (0) PARTITION BY RANGE (id);
    CREATE TABLE lowest PARTITION OF low DEFAULT; ALTER PUBLICATION "odd one" ADD TABLE ${TABLE}`);
  const before = await present();
  expect(before).not.toBeNull();
  await database.query('ALTER TABLE lowest SET UNLOGGED');
  expect(await present()).toBeNull();
  await database.query('ALTER TABLE lowest SET LOGGED');
  expect(await present()).toBe(before);
});

test('what keeps all rows in the stream leaves it as it is', async () => {
  const before = await present();
  await database.query(`ALTER TABLE ${TABLE} ADD COLUMN more int; INSERT INTO ${TABLE} VALUES (1); TRUNCATE ${TABLE}`);
  await database.query(`VACUUM FULL ${TABLE}`);
  await database.query('CREATE TABLE other (id int); CREATE PUBLICATION other FOR TABLE other');
  expect(await present()).toBe(before);
});

test('a checkpoint is taken only while it is the one that the cursor names', async () => {
  const checkpoints = new CheckpointStore(pool, cursor);
  expect(await checkpoints.takeOf(SOURCE)).toBeUndefined();
  await cursor.adoptSource(await present());
  expect(await checkpoints.takeOf(SOURCE)).toBeTypeOf('bigint');
  await database.query(TAKEN_BACK[0][1]);
  expect(await checkpoints.takeOf(SOURCE)).toBeUndefined();
  await cursor.adoptSource(await present());
  expect(await checkpoints.takeOf(SOURCE)).toBeTypeOf('bigint');
  await database.query(BROKEN[0][1]);
  expect(await checkpoints.takeOf(SOURCE)).toBeUndefined();
  await CursorStore.claim(pool, { slot: SLOT, systemIdentifier: '1', timeline: 1 });
  await expect(checkpoints.takeOf(SOURCE)).rejects.toMatchObject({ code: 'LEADERSHIP_LOST' });
  await expect(cursor.adoptSource('')).rejects.toMatchObject({ code: 'LEADERSHIP_LOST' });
  expect(await database.query('SELECT FROM walpost.checkpoints')).toHaveLength(2);
});

test('a stream that lacks rows is marked, also where nothing was known of it', async () => {
  await markIncomplete(pool, SLOT);
  expect((await look()).recorded).toBe(INCOMPLETE);
  await cursor.adoptSource(await present());
  await markIncomplete(pool, SLOT);
  expect((await look()).recorded).toBe(INCOMPLETE);
});

test('the end of the job that is waited for makes the stream whole, unless rows were missed again since', async () => {
  const source = (await present()) ?? '';
  await cursor.adoptSource(awaiting('17', source));
  expect(awaitedJob((await look()).recorded ?? '')).toBe('17');
  await adoptAwaited(pool, SLOT, '1');
  await adoptAwaited(pool, 'other', '17');
  expect((await look()).recorded).toBe(awaiting('17', source));
  await adoptAwaited(pool, SLOT, '17');
  expect((await look()).recorded).toBe(source);
  expect(awaitedJob(source)).toBeUndefined();
  await cursor.adoptSource(awaiting('18', source));
  await markIncomplete(pool, SLOT);
  await adoptAwaited(pool, SLOT, '18');
  expect((await look()).recorded).toBe(INCOMPLETE);
});

test('it tells whether older transactions are open, also those that are younger than any that has ended', async () => {
  const open = await database.client();
  await open.query('BEGIN');
  const { rows } = await open.query<{ xid: string }>('SELECT pg_current_xact_id()::text AS xid');
  const xid = BigInt(rows[0]?.xid ?? 0);
  const horizon = BigInt(await xidOfNow(pool));
  expect(horizon).toBeGreaterThan(xid);
  expect(BigInt((await look()).oldest)).toBeLessThanOrEqual(xid);
  await open.query('COMMIT');
  await poll('all before it have ended', async () => BigInt((await look()).oldest) > horizon || undefined);
});
