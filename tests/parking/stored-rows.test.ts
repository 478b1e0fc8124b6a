import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { listJobs, openJobs, requestJob } from '../../src/jobs/job-rows.ts';
import { countDeadLetters, countStored, discardStored, listStored, moveParked } from '../../src/parking/stored-rows.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

let database: TestDatabase;
let pool: pg.Pool;
beforeEach(async () => {
  database = await createTestDatabase();
  pool = createPool(database.url, { applicationName: 'test', max: 2 });
});
afterEach(async () => {
  await pool.end();
  await database[Symbol.asyncDispose]();
});

const slot = 's';

const letters = (count: number): Promise<unknown> =>
  database.query(
    `INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, attempts, event_id, event_type)
     SELECT 's', '1', 1, 'hook', CASE WHEN n % 2 = 0 THEN 'failed' ELSE 'rejected' END, '', 1, 'e' || n, 'a_' || n
       FROM generate_series(1, $1::int) AS n`,
    [count],
  );

/** One row a number, in lanes x and y in turn. */
const park = (sink: string, numbers: readonly number[]): Promise<unknown> =>
  database.query(
    `INSERT INTO walpost.parked (slot, epoch, sink, organization_id, history, order_lsn, order_job, place, commit_lsn, ordinal,
       event_id, event_type, event_version, topic, payload, headers, size, received_at)
     SELECT 's', 1, $1, CASE WHEN n % 2 = 0 THEN 'x' ELSE 'y' END, 0, '0/1', false, n, '0/1', n, 'e' || n, 'a', 1, 't', '{}', '{}', 2,
            clock_timestamp() FROM unnest($2::int[]) AS n`,
    [sink, numbers],
  );

test('lists go by number and not by its text', async () => {
  await letters(12);
  const rows = await listStored(pool, 'dead_letters', { slot, limit: 100 });
  expect(rows.map(({ id }) => Number(id))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]);
  for (let i = 0; i < 11; i += 1) {
    await requestJob(pool, {
      slot,
      kind: 'redrive',
      reason: null,
      spec: {},
      fromLsn: null,
      afterSnapshot: null,
      beforeXid: null,
    });
  }
  expect((await openJobs(pool, slot)).map(({ id }) => Number(id))).toEqual([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11]);
  expect((await listJobs(pool, 2)).map(({ id }) => id)).toEqual(['11', '10']);
});

test('counting dead letters ends at a bound, with the newest', async () => {
  await letters(12);
  expect(await countDeadLetters(pool)).toMatchObject([{ count: 6 }, { count: 6 }]);
  const bounded = await countDeadLetters(pool, 5);
  expect(bounded.map(({ reason, count }) => [reason, count])).toEqual([
    ['failed', 3],
    ['rejected', 2],
  ]);
});

test('filters restrict together; a type is a pattern in which only * is special', async () => {
  await letters(12);
  const count = (filter: object): Promise<number> => countStored(pool, 'dead_letters', { slot, ...filter });
  expect(await count({})).toBe(12);
  expect(await count({ reason: 'failed' })).toBe(6);
  expect(await count({ type: 'a_1*' })).toBe(4);
  expect(await count({ type: 'a%' })).toBe(0);
  expect(await count({ reason: 'failed', type: 'a_1*', sink: 'hook' })).toBe(2);
  expect(await count({ ids: ['1', '5'] })).toBe(2);
  expect(await count({ eventIds: ['e3'] })).toBe(1);
  expect(await count({ before: '2020-01-01T00:00:00Z' })).toBe(0);
  expect(await countStored(pool, 'dead_letters', { slot: 'another' })).toBe(0);
});

test('discarding goes in steps, and leaves what is not meant', async () => {
  await letters(2_500);
  const steps: number[] = [];
  const gone = await discardStored(pool, 'dead_letters', { slot, reason: 'failed' }, (count) => steps.push(count));
  expect([gone, steps]).toEqual([1250, [1000, 1250]]);
  expect(await countStored(pool, 'dead_letters', { slot })).toBe(1250);
});

test('moving keeps the order of each lane, and stores nothing twice that waits there already', async () => {
  await park('b', [3, 4]);
  await park('a', [6, 4, 2, 5, 3, 1]);
  expect(await moveParked(pool, { filter: { slot, sink: 'a' }, to: 'b' }, () => undefined)).toBe(6);
  const rows = await database.query<{ sink: string; organization_id: string; event_id: string }>(
    'SELECT sink, organization_id, event_id FROM walpost.parked ORDER BY organization_id, history, order_lsn, order_job, place',
  );
  expect(rows.map((row) => `${row.sink} ${row.organization_id} ${row.event_id}`)).toEqual([
    'b x e2',
    'b x e4',
    'b x e6',
    'b y e1',
    'b y e3',
    'b y e5',
  ]);
});

test('of what a job sends, the same row is not stored twice, and another row with the same id is', async () => {
  const parkFound = (sink: string, rows: readonly string[]): Promise<unknown> =>
    database.query(
      `INSERT INTO walpost.parked (slot, epoch, sink, organization_id, history, order_lsn, order_job, place, job, job_row,
         event_id, event_type, event_version, topic, payload, headers, size, received_at)
       SELECT 's', 1, $1, 'x', 0, '0/1', true, nextval('walpost.parked_place'), 'replay-1', row, 'twin', 'a', 1, 't', '{}', '{}', 2,
              clock_timestamp() FROM unnest($2::text[]) AS row`,
      [sink, rows],
    );
  await parkFound('b', ['7/1']);
  await parkFound('a', ['7/1', '7/2', '8/1']);
  expect(await moveParked(pool, { filter: { slot, sink: 'a' }, to: 'b' }, () => undefined)).toBe(3);
  expect(await database.query('SELECT sink, job_row FROM walpost.parked ORDER BY place')).toEqual(
    ['7/1', '7/2', '8/1'].map((row) => ({ sink: 'b', job_row: row })),
  );
});
