import { expect, test } from 'vitest';
import { createPool } from '../../src/postgres/pool.ts';
import { type DatedFacts, RecentFacts } from '../../src/relay/status/recent-facts.ts';
import { createTestDatabase } from '../support/database.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { poll } from '../support/slot-session.ts';

test('where reading takes long, a scrape gets the last answer for a minute, and new facts are read for the next one', async () => {
  await using database = await createTestDatabase();
  const pool = createPool(database.url, { applicationName: 'walpost test', max: 1 });
  const clock = new ManualClock();
  const recent = new RecentFacts(clock);
  const source = { pool, slot: database.slotName };
  const other = await database.client();
  /** Holds the table until a reader waits for it. */
  const slowly = async <T>(read: () => Promise<T>, ms: number): Promise<T> => {
    await other.query('BEGIN; LOCK TABLE walpost.parked');
    const reading = read();
    await poll('the reader waits', async () => {
      const rows = await other.query(
        `SELECT FROM pg_locks WHERE NOT granted AND relation = 'walpost.parked'::regclass`,
      );
      return rows.rowCount === 0 ? undefined : true;
    });
    await clock.advance(ms);
    await other.query('COMMIT');
    return reading;
  };
  try {
    const first = await slowly(() => recent.read(source, undefined), 50);
    await other.query('BEGIN; LOCK TABLE walpost.parked');
    expect(await recent.read(source, undefined)).toBe(first);
    await clock.advance(60_000);
    const late = recent.read(source, undefined); // too old to be shown
    await other.query('COMMIT');
    expect(await late).not.toBe(first);
    const quick = await recent.read(source, undefined);
    // Reading was quick, and this once it is not.
    await other.query('BEGIN; LOCK TABLE walpost.parked');
    const waiting = recent.read(source, undefined);
    let answer: DatedFacts | undefined;
    void waiting.then((facts) => (answer = facts));
    await clock.advance(19);
    expect(answer).toBeUndefined();
    await clock.advance(1);
    expect(await waiting).toBe(quick);
    await other.query('COMMIT');
  } finally {
    await pool.end();
  }
});

test('where reading is quick, each scrape reads', async () => {
  await using database = await createTestDatabase();
  const pool = createPool(database.url, { applicationName: 'walpost test', max: 1 });
  const recent = new RecentFacts(new ManualClock());
  const source = { pool, slot: database.slotName };
  const [one, two] = [await recent.read(source, undefined), await recent.read(source, undefined)];
  expect(two).not.toBe(one);
  expect(two.facts.parked).toEqual([]);
  await pool.end();
});
