import { expect, test } from 'vitest';
import { WalpostError } from '../../src/errors.ts';
import type { Lsn } from '../../src/lsn.ts';
import { formatLsn, parseLsn } from '../../src/lsn.ts';
import { createTestDatabase } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { createNotes, openSession, poll, untilFree } from '../support/slot-session.ts';

const confirmedFlush = async (db: TestDatabase): Promise<Lsn> => {
  const [row] = await db.query<{ lsn: string }>(
    'SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = $1',
    [db.slotName],
  );
  return parseLsn(row?.lsn ?? '') ?? 0n;
};

const insert = (db: TestDatabase, note: string): Promise<unknown> =>
  db.query('INSERT INTO note (note) VALUES ($1)', [note]);

/** Two transactions whose commit records touch: the second commits while nothing else writes WAL. */
async function commitBackToBack(db: TestDatabase): Promise<void> {
  const [a, b] = [await db.client(), await db.client()];
  for (const [client, note] of [
    [a, 'A'],
    [b, 'B'],
  ] as const) {
    await client.query('BEGIN');
    await client.query('INSERT INTO note (note) VALUES ($1)', [note]);
  }
  await Promise.all([a.query('COMMIT'), b.query('COMMIT')]);
}

test('streams what commits, and what was never confirmed comes again on the next connection', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await createNotes(db);
  await insert(db, 'one');
  {
    await using session = await openSession(db);
    await insert(db, 'two');
    await session.recorder.until('both arrived', () => session.recorder.transactions.length === 2);
    expect(session.recorder.allNotes).toEqual(['one', 'two']);
  }
  await untilFree(db);
  await using again = await openSession(db);
  await again.recorder.until('both came again', () => again.recorder.transactions.length === 2);
  expect(again.recorder.allNotes).toEqual(['one', 'two']);
});

test('of two commits back to back, confirming the first exactly leaves the second', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await createNotes(db);
  let touching = 0;
  for (let round = 0; round < 20 && touching < 3; round++) {
    await using first = await openSession(db);
    const { recorder, stream } = first;
    await commitBackToBack(db);
    await recorder.until('both arrived', () => recorder.transactions.length === 2);
    const [earlier, later] = recorder.transactions;
    if (!earlier || !later) throw new Error('two transactions were expected');
    if (later.commitLsn === earlier.endLsn) touching++;
    stream.confirm(earlier.endLsn);
    await poll('the server took the confirmation', async () =>
      (await confirmedFlush(db)) === earlier.endLsn ? true : undefined,
    );
    first.abort();
    await first.ended;
    await untilFree(db);
    await using second = await openSession(db);
    await second.recorder.until('the later one', () => second.recorder.transactions.length > 0);
    expect(second.recorder.allNotes).toEqual(later.notes);
    second.stream.confirm(later.endLsn);
    expect(await second.stream.finish()).toBe(true);
    await untilFree(db);
  }
  expect(touching).toBeGreaterThan(0);
});

test('a confirmation never goes back, and never beyond what has arrived', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await createNotes(db);
  await using session = await openSession(db);
  const { recorder, stream } = session;
  await insert(db, 'one');
  await insert(db, 'two');
  await recorder.until('both arrived', () => recorder.transactions.length === 2);
  const ends = recorder.transactions.map((transaction) => transaction.endLsn);
  const [first = 0n, last = 0n] = ends;
  expect(() => stream.confirm(stream.received + 1n)).toThrow(/beyond/);
  stream.confirm(last);
  expect(() => stream.confirm(first)).toThrow(/go back/);
  expect(stream.confirmed).toBe(last);
  stream.confirm(last);
  await poll('the server took it, exactly', async () => ((await confirmedFlush(db)) === last ? true : undefined));
  await db.query('SELECT pg_switch_wal()');
  expect(formatLsn(await confirmedFlush(db))).toBe(formatLsn(last));
});

test('finish: the server has read the last confirmation when it resolves', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await createNotes(db);
  await using session = await openSession(db);
  const { recorder, stream } = session;
  await insert(db, 'one');
  await recorder.until('it arrived', () => recorder.transactions.length === 1);
  const end = recorder.transactions[0]?.endLsn ?? 0n;
  stream.confirm(end);
  stream.pause();
  expect(await stream.finish()).toBe(true);
  expect(await session.ended).toBeUndefined();
  expect(await confirmedFlush(db)).toBe(end);
});

test('an abort closes the socket at once, also while the socket is paused', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await createNotes(db);
  await using session = await openSession(db);
  session.stream.pause();
  session.abort();
  expect(await session.ended).toBeUndefined();
  expect(await session.stream.finish()).toBe(false);
  await untilFree(db);
});

test('a handler that throws ends the stream with its error, and nothing is confirmed any more', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await createNotes(db);
  const before = await confirmedFlush(db);
  const fault = new WalpostError('UNKNOWN_RELATION');
  let calls = 0;
  await using session = await openSession(db, {
    handler: {
      data() {
        calls++;
        throw fault;
      },
      keepalive() {},
    },
  });
  await insert(db, 'one');
  expect(await session.ended).toBe(fault);
  expect(calls).toBe(1);
  session.stream.confirm(session.stream.received);
  await untilFree(db);
  expect(await confirmedFlush(db)).toBe(before);
});

test('text arrives in ISO and UTC, whatever the database and the connection string say', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await db.query(`ALTER DATABASE ${db.name} SET datestyle = 'SQL, DMY'`);
  await db.query(`ALTER DATABASE ${db.name} SET timezone = 'Asia/Kolkata'`);
  await db.query(`ALTER DATABASE ${db.name} SET intervalstyle = 'sql_standard'`);
  await db.query(`ALTER DATABASE ${db.name} SET extra_float_digits = '-10'`);
  await db.query('CREATE TABLE note (id int PRIMARY KEY, at timestamptz, span interval, ratio float8)');
  await db.query('CREATE PUBLICATION notes FOR TABLE note');
  await using session = await openNotesOf(db);
  await db.query("INSERT INTO note VALUES (1, '2026-11-02 14:00:00.1+00', '1 day 02:03:04', 0.1::float8 + 0.2)");
  await session.recorder.until('it arrived', () => session.recorder.rows.length === 1);
  expect(session.recorder.rows).toEqual(['1|2026-11-02 14:00:00.1+00|1 day 02:03:04|0.30000000000000004']);
});

async function openNotesOf(db: TestDatabase): ReturnType<typeof openSession> {
  await db.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [db.slotName]);
  const url = new URL(db.url);
  url.searchParams.set('options', '-c datestyle=German -c timezone=America/New_York');
  return openSession(db, { url: url.href });
}

test('a second stream from the same slot is refused, and says so', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await createNotes(db);
  await using _session = await openSession(db);
  await expect(openSession(db)).rejects.toMatchObject({ code: 'SLOT_IN_USE' });
});

test('a slot that does not exist, and a server that is not there', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await expect(openSession(db)).rejects.toMatchObject({ code: 'DATABASE', policy: 'retry' });
  const url = new URL(db.url);
  url.port = '1';
  await expect(openSession(db, { url: url.href })).rejects.toMatchObject({
    code: 'SERVER_UNREACHABLE',
    policy: 'retry',
  });
});
