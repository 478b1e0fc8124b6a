import fc from 'fast-check';
import { expect, test } from 'vitest';
import { createPool } from '../../src/postgres/pool.ts';
import { currentSnapshot, parseSnapshot, seesAllOf, seesXid, widenXid } from '../../src/postgres/snapshot.ts';
import { createTestDatabase } from '../support/database.ts';

const low32 = (xid: bigint): number => Number(xid & 0xffffffffn);

test('reads the text form', () => {
  expect(parseSnapshot('10:20:10,14,15')).toEqual({ xmin: 10n, xmax: 20n, running: new Set([10n, 14n, 15n]) });
  expect(parseSnapshot('7:7:')).toEqual({ xmin: 7n, xmax: 7n, running: new Set() });
});

test.each(['', '10:20', '10:20:1,', 'a:b:c', '10:20:1 '])('%j is no snapshot', (text) => {
  expect(() => parseSnapshot(text)).toThrow(expect.objectContaining({ code: 'PROTOCOL' }));
});

test('sees what had ended, and nothing else', () => {
  const snapshot = parseSnapshot('10:20:10,14');
  expect([9, 10, 13, 14, 19, 20, 21].map((xid) => seesXid(snapshot, xid))).toEqual([
    true,
    false,
    true,
    false,
    true,
    false,
    false,
  ]);
});

test('sees across the wrap of the 32 bits', () => {
  const wrap = 5n << 32n;
  const snapshot = parseSnapshot(`${wrap - 3n}:${wrap + 10n}:${wrap - 3n},${wrap + 4n}`);
  expect(seesXid(snapshot, 0xffffffff)).toBe(true);
  expect(seesXid(snapshot, 0xfffffffd)).toBe(false);
  expect(seesXid(snapshot, 3)).toBe(true);
  expect(seesXid(snapshot, 4)).toBe(false);
  expect(seesXid(snapshot, 10)).toBe(false);
  expect(seesXid(parseSnapshot(`${wrap - 5n}:${wrap - 5n}:`), 3)).toBe(false);
});

test('a transaction id is widened to the number it came from, up to 2^31 away', () => {
  const near = fc.bigInt({ min: 1n << 33n, max: 1n << 62n });
  const distance = fc.bigInt({ min: -(1n << 31n), max: (1n << 31n) - 1n });
  fc.assert(fc.property(near, distance, (xmax, by) => widenXid(low32(xmax + by), xmax) === xmax + by));
});

test('agrees with the server about running, committed and later transactions', async () => {
  await using database = await createTestDatabase();
  const pool = createPool(database.url, { applicationName: 'snapshot', max: 2 });
  const [early, running, late] = await Promise.all([database.client(), database.client(), database.client()]);
  const begin = async (client: typeof early): Promise<bigint> => {
    await client.query('BEGIN');
    const { rows } = await client.query<{ xid: string }>('SELECT pg_current_xact_id()::text AS xid');
    return BigInt(rows[0]?.xid ?? '');
  };
  const open = await begin(running);
  const committed = await begin(early);
  await early.query('COMMIT');
  const snapshot = await currentSnapshot(pool);
  const after = await begin(late);
  await Promise.all([running.query('COMMIT'), late.query('COMMIT')]);
  expect([committed, open, after].map((xid) => seesXid(snapshot, low32(xid)))).toEqual([true, false, false]);

  const next = await currentSnapshot(pool);
  expect([committed, open, after].map((xid) => seesXid(next, low32(xid)))).toEqual([true, true, true]);
  await pool.end();
});

test.each([
  ['10:20:12', '10:20:12', true],
  ['10:20:12', '10:20:', false], // 12 is not seen
  ['10:20:', '10:20:12', true],
  ['10:20:', '10:21:', false], // nor 20, which has not even ended
  ['10:20:', '10:22:20,21', true],
  ['10:20:', '10:23:20,21', false],
  ['10:30:25', '10:20:12', true], // 25 the other does not see either
  ['30:30:', '10:20:12', true],
])('%s sees all that %s sees: %s', (one, other, all) => {
  expect(seesAllOf(parseSnapshot(one), parseSnapshot(other))).toBe(all);
});
