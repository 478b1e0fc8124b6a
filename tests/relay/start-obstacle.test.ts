/** What would stop a start, as the status says it when nobody streams. Looking changes nothing. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import type pg from 'pg';
import { configSchema } from '../../src/config/schema.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { startObstacle } from '../../src/relay/status/start-obstacle.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { closedPort } from '../support/webhook-receiver.ts';

let database: TestDatabase;
let pool: pg.Pool;
beforeEach(async () => {
  database = await createTestDatabase();
  pool = createPool(database.url, { applicationName: 'test', max: 1 });
});
afterEach(async () => {
  await pool.end();
  await database[Symbol.asyncDispose]();
});

const sinks = { out: { type: 'discard' } };
const obstacle = (source: object = {}, url = database.url): Promise<string | undefined> =>
  startObstacle(
    configSchema.parse({
      database: { url },
      source: { slot: database.slotName, ...source },
      sinks,
      routes: [{ to: ['out'] }],
    }),
    pool,
  );
const ranOnce = async (): Promise<void> => {
  await using relay = await RelayInProcess.start({ database, sinks });
  await relay.stop();
};

test('before the first start nothing is in the way, and none is made by looking', async () => {
  expect(await obstacle()).toBeUndefined();
  const slots = 'SELECT FROM pg_replication_slots WHERE database = current_database()';
  expect(await database.query(`${slots} UNION ALL SELECT FROM walpost.cursor`)).toEqual([]);
});

test('a publication without the table, until it has it', async () => {
  await ranOnce();
  expect(await obstacle()).toBeUndefined();
  await database.query('ALTER PUBLICATION walpost DROP TABLE walpost.outbox');
  expect(await obstacle()).toMatch(/^A start of `walpost run` would end with PUBLICATION_TABLE: .+ALTER PUBLICATION/);
  await database.query('ALTER PUBLICATION walpost ADD TABLE walpost.outbox');
  expect(await obstacle()).toBeUndefined();
});

test('a slot that is gone is in the way with on_slot_lost: stop alone', async () => {
  await ranOnce();
  await database.query('SELECT pg_drop_replication_slot($1)', [database.slotName]);
  expect(await obstacle()).toBeUndefined();
  expect(await obstacle({ on_slot_lost: 'stop' })).toMatch(/would end with SLOT_LOST: .*missing/);
});

test('what passes by itself is no obstacle', async () => {
  const away = new URL(database.url);
  away.port = String(await closedPort());
  expect(await obstacle({}, away.href)).toBeUndefined();
});
