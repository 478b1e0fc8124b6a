import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createPool } from '../../src/postgres/pool.ts';
import { PruneWatch } from '../../src/postgres/retention/prune-watch.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { settleAll } from '../support/settled-checkpoint.ts';

const HOUR = 3_600_000;
const age = (interval: string): Promise<unknown> =>
  database.query('UPDATE walpost.checkpoints SET taken_at = taken_at - $1::interval', [interval]);

let database: TestDatabase;
let pool: pg.Pool;
let clock: ManualClock;
let watch: PruneWatch;
beforeEach(async () => {
  database = await createTestDatabase();
  pool = createPool(database.url, { applicationName: 'prune watch', max: 1 });
  clock = new ManualClock();
  watch = new PruneWatch({ db: pool, slot: 'test', retention: HOUR, clock });
});
afterEach(async () => {
  await pool.end();
  await database[Symbol.asyncDispose]();
});

test('a look is worth it once for each checkpoint that has come of age', async () => {
  expect(await watch.isDue()).toBe(false);
  await settleAll(database);
  expect(await watch.isDue()).toBe(false);
  await age('2 hours');
  expect(await watch.isDue()).toBe(true);
  expect(await watch.isDue()).toBe(false);
  await settleAll(database);
  await age('2 hours');
  expect(await watch.isDue()).toBe(true);
  expect(await watch.isDue()).toBe(false);
});

test('it goes by the topic that stays shortest, where one does', async () => {
  const keep = (topic: string, hours: string) =>
    database.query(`INSERT INTO walpost.settings (name, topic, value) VALUES ('retention_hours', $1, $2)`, [
      topic,
      hours,
    ]);
  await settleAll(database);
  await age('30 minutes');
  await keep('long', '9000');
  expect(await watch.isDue()).toBe(false);
  await keep('short', '0.4');
  expect(await watch.isDue()).toBe(true);
});

test('with nothing new it is worth it once an hour', async () => {
  await clock.advance(HOUR - 1);
  expect(await watch.isDue()).toBe(false);
  await clock.advance(1);
  expect(await watch.isDue()).toBe(true);
  expect(await watch.isDue()).toBe(false);
});

test('what did not come about is worth it until it does', async () => {
  await settleAll(database);
  await age('2 hours');
  expect(await watch.isDue()).toBe(true);
  watch.again();
  expect(await watch.isDue()).toBe(true);
  expect(await watch.isDue()).toBe(false);
});
