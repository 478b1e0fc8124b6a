import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { claimEpoch } from '../../src/leader/claim-epoch.ts';
import { CursorStore } from '../../src/postgres/cursor/cursor-store.ts';
import { FENCE } from '../../src/postgres/cursor/fence.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import { newClient } from '../support/client.ts';

const claim = { slot: 'walpost_app', systemIdentifier: '7400000000000000001', timeline: 1 };
const errors: string[] = [];

let database: TestDatabase;
let pool: pg.Pool;
beforeEach(async () => {
  database = await createTestDatabase();
  pool = createPool(database.url, { applicationName: 'walpost', max: 1 });
});
afterEach(async () => {
  await pool.end();
  await database[Symbol.asyncDispose]();
});

function claimNext(): Promise<CursorStore> {
  const onError = (message: string): unknown => errors.push(message);
  return claimEpoch({ pool, url: database.url, claim, clock: systemClock, applicationName: 'walpost', onError });
}

/** A process that was stopped in the middle of a transaction. */
async function stuckOwner(applicationName: string): Promise<pg.Client> {
  const owner = await CursorStore.claim(pool, claim);
  const client = newClient({ connectionString: database.url, application_name: applicationName });
  await client.connect();
  await client.query('BEGIN');
  expect((await client.query(FENCE, [owner.slot, owner.epoch])).rowCount).toBe(1);
  return client;
}

test('a transaction that an older leader left open is ended within a second or two', async () => {
  const stuck = await stuckOwner('walpost');
  const begun = performance.now();
  expect(await claimNext()).toMatchObject({ epoch: 2n });
  expect(performance.now() - begun).toBeLessThan(2_000);
  await expect(stuck.query('COMMIT')).rejects.toThrow(/terminat|not queryable/i);
  expect(errors).toEqual([]);
});

test('that of another program is waited for', async () => {
  const other = await stuckOwner('psql');
  const claiming = claimNext();
  // The session that would end blockers has looked.
  await poll('it was looked at', async () => {
    const looked = await database.query(
      `SELECT FROM pg_stat_activity WHERE datname = current_database() AND query LIKE '%pg_blocking_pids%' AND state = 'idle'`,
    );
    return looked[0];
  });
  await other.query('COMMIT');
  expect(await claiming).toMatchObject({ epoch: 2n });
  await other.end();
});
