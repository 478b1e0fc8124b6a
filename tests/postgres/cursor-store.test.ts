import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { CursorStore, readCursor } from '../../src/postgres/cursor/cursor-store.ts';
import { FENCE } from '../../src/postgres/cursor/fence.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';

const claim = { slot: 'walpost_app', systemIdentifier: '7400000000000000001', timeline: 1 };
const lost = expect.objectContaining({ code: 'LEADERSHIP_LOST', policy: 'retry' });

let database: TestDatabase;
let pool: pg.Pool;
beforeEach(async () => {
  database = await createTestDatabase();
  pool = createPool(database.url, { applicationName: 'cursor', max: 8 });
});
afterEach(async () => {
  await pool.end();
  await database[Symbol.asyncDispose]();
});

test('the first claim starts at epoch 1 with no position', async () => {
  expect(await readCursor(pool, claim.slot)).toBeUndefined();
  const cursor = await CursorStore.claim(pool, claim);
  expect(cursor).toMatchObject({ slot: claim.slot, epoch: 1n, lsn: null, recorded: null });
  expect(await cursor.read()).toEqual({ epoch: 1n, lsn: null, systemIdentifier: '7400000000000000001', timeline: 1 });
});

test('the next owner goes on where the last one stood, and ends its rights', async () => {
  const first = await CursorStore.claim(pool, claim);
  await first.advance(0x16_b374_d848n);
  const second = await CursorStore.claim(pool, claim);
  expect(second).toMatchObject({ epoch: 2n, lsn: 0x16_b374_d848n, recorded: { timeline: 1 } });

  await expect(first.advance(0x17_0000_0000n)).rejects.toEqual(lost);
  await expect(first.adopt({ systemIdentifier: 'x', timeline: 9 }, null)).rejects.toEqual(lost);
  expect(await first.read()).toMatchObject({ epoch: 2n, lsn: 0x16_b374_d848n, timeline: 1 });
  await second.advance(0x17_0000_0000n);
  expect(await second.read()).toMatchObject({ lsn: 0x17_0000_0000n });
});

test('the position never moves back', async () => {
  const cursor = await CursorStore.claim(pool, claim);
  await cursor.advance(200n);
  const [before] = await database.query('SELECT advanced_at FROM walpost.cursor');
  await cursor.advance(100n);
  await cursor.advance(200n);
  expect(await cursor.read()).toMatchObject({ lsn: 200n });
  expect(await database.query('SELECT advanced_at FROM walpost.cursor')).toEqual([before]);
});

test('a position beyond 2^63 survives', async () => {
  const cursor = await CursorStore.claim(pool, claim);
  await cursor.advance(2n ** 64n - 1n);
  expect(await cursor.read()).toMatchObject({ lsn: 2n ** 64n - 1n });
});

test('another cluster is told by the claim, and recorded only by adopt', async () => {
  const before = await CursorStore.claim(pool, claim);
  await before.advance(5000n);
  const restored = { slot: claim.slot, systemIdentifier: '7500000000000000002', timeline: 3 };
  for (const epoch of [2n, 3n]) {
    expect(await CursorStore.claim(pool, restored)).toMatchObject({
      epoch,
      lsn: 5000n,
      recorded: { systemIdentifier: claim.systemIdentifier, timeline: 1 },
    });
  }
  const owner = await CursorStore.claim(pool, restored);
  await owner.adopt(restored, 40n);
  expect(await owner.read()).toEqual({ epoch: 4n, lsn: 40n, systemIdentifier: '7500000000000000002', timeline: 3 });
});

test('adopt belongs to the transaction of the connection it is given', async () => {
  const owner = await CursorStore.claim(pool, claim);
  const client = await database.client();
  await client.query('BEGIN');
  await owner.adopt({ systemIdentifier: 'other', timeline: 2 }, null, client);
  await client.query('ROLLBACK');
  expect(await owner.read()).toMatchObject({ systemIdentifier: claim.systemIdentifier });
});

test('of many that claim at once each gets an epoch of its own, and only the last may write', async () => {
  const owners = await Promise.all(Array.from({ length: 20 }, () => CursorStore.claim(pool, claim)));
  const epochs = owners.map(({ epoch }) => epoch).toSorted((a, b) => Number(a - b));
  expect(epochs).toEqual(Array.from({ length: 20 }, (_, index) => BigInt(index + 1)));
  expect(owners.filter(({ recorded }) => recorded === null)).toHaveLength(1);
  const results = await Promise.allSettled(owners.map((owner) => owner.advance(owner.epoch)));
  const winners = owners.filter((_, index) => results[index]?.status === 'fulfilled');
  expect(winners.map(({ epoch }) => epoch)).toEqual([20n]);
});

test('what is written under the fence is committed before the next claim, and the position advances meanwhile', async () => {
  const first = await CursorStore.claim(pool, claim);
  const writer = await database.client();
  await writer.query('BEGIN');
  expect((await writer.query(FENCE, [first.slot, first.epoch])).rowCount).toBe(1);
  await first.advance(70n);

  let claimed = false;
  const next = CursorStore.claim(pool, claim).finally(() => (claimed = true));
  const waiting = `SELECT 1 FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'`;
  while ((await database.query(waiting)).length === 0) expect(claimed).toBe(false);
  await writer.query('COMMIT');
  expect(await next).toMatchObject({ epoch: 2n, lsn: 70n });
  expect((await writer.query(FENCE, [first.slot, first.epoch])).rowCount).toBe(0);
});

test('a schema that is not there is the error of the database', async () => {
  await database.query('DROP SCHEMA walpost CASCADE');
  await expect(CursorStore.claim(pool, claim)).rejects.toMatchObject({
    code: 'DATABASE',
    message: expect.stringContaining('claiming the cursor'),
  });
});
