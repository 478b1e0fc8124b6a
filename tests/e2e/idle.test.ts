import { poll } from '../support/slot-session.ts';
import { setTimeout as delay } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { debianPostgresMissing, startDebianPostgres } from '../support/debian-postgres.ts';
import { type PostgresMajor, startServer } from '../support/server.ts';
import { EventReceiver } from './event-receiver.ts';
import { RunningWalpost } from './running-walpost.ts';

const LONG = process.env['WALPOST_LONG'] === '1';
const missing = await debianPostgresMissing();
vi.setConfig({ testTimeout: 240_000 });

const MIB = 1024 ** 2;
const FOREIGN_BYTES = (LONG ? 1024 : 200) * MIB;

async function retained(database: TestDatabase): Promise<number> {
  const [row] = await database.query<{ bytes: string }>(
    `SELECT pg_wal_lsn_diff(pg_current_wal_insert_lsn(), restart_lsn)::text AS bytes
       FROM pg_replication_slots WHERE slot_name = $1`,
    [database.slotName],
  );
  return Number(row?.bytes);
}

/** One transaction after the other on a table that is not published. */
async function writeElsewhere(database: TestDatabase, bytes: number): Promise<number> {
  await database.query('CREATE TABLE elsewhere (filler text)');
  await database.query('ALTER TABLE elsewhere ALTER filler SET STORAGE EXTERNAL');
  const begin = await walPosition(database);
  let most = 0;
  while ((await walPosition(database)) - begin < bytes) {
    await database.query(`INSERT INTO elsewhere SELECT repeat('x', 1000000) FROM generate_series(1, 4)`);
    most = Math.max(most, await retained(database));
  }
  return most;
}

async function walPosition(database: TestDatabase): Promise<number> {
  const [row] = await database.query<{ bytes: string }>(`SELECT (pg_current_wal_insert_lsn() - '0/0')::text AS bytes`);
  return Number(row?.bytes);
}

/** An idle outbox beside a busy table: what the slot retains at the end, with and without a running transaction. */
async function slotAdvances(server: string, source: object = {}): Promise<void> {
  await using database = await createTestDatabase({ server });
  await using receiver = await EventReceiver.start();
  const sinks = { hook: receiver.sink() };
  await using walpost = await RunningWalpost.start({ database, sinks, config: { source } });
  const most = await writeElsewhere(database, FOREIGN_BYTES);
  let end = await retained(database);
  let waited = 0;
  for (; end > 16 * MIB && waited < 90_000; waited += 250) {
    await delay(250); // the slot learns by keepalives, which nothing announces
    end = await retained(database);
  }
  const mib = (bytes: number): string => `${(bytes / MIB).toFixed(0)} MiB`;
  process.stdout.write(
    `of ${mib(FOREIGN_BYTES)} retained at most ${mib(most)}, ${mib(end)} after ${waited / 1000} s of rest\n`,
  );
  expect(end).toBeLessThan(64 * MIB);
  expect(await walpost.stop()).toMatchObject({ code: 0 });
}

test.each<PostgresMajor>(['15', '17'])('an idle outbox holds no log back on Postgres %s', async (version) => {
  await using server = await startServer(version, { settings: { max_wal_size: '2GB' } });
  await slotAdvances(server.url());
});

test.skipIf(missing !== undefined)('nor with wal2json', async () => {
  await using server = await startDebianPostgres({ settings: { max_wal_size: '2GB' } });
  await slotAdvances(server.url(), { plugin: 'wal2json' });
});

test.skipIf(missing !== undefined)(`nothing reads the outbox in ${LONG ? 60 : 10} s without events`, async () => {
  const settings = { shared_preload_libraries: 'pg_stat_statements', 'pg_stat_statements.track': 'all' };
  await using server = await startDebianPostgres({ settings });
  await using database = await createTestDatabase({ server: server.url() });
  await database.query('CREATE EXTENSION pg_stat_statements');
  await using receiver = await EventReceiver.start();
  await using walpost = await RunningWalpost.start({ database, sinks: { hook: receiver.sink() } });
  await database.query(`SELECT walpost.publish(gen_random_uuid(), 'a.b', '{}')`);
  await walpost.confirms((await receiver.received(1), receiver.lastCommit));
  await poll(
    'the one look that an event causes, for rows of another cluster',
    async () =>
      (await database.query("SELECT FROM pg_stat_statements WHERE query LIKE '%ORDER BY created_xid DESC%'")).length >
        0 || undefined,
    30_000,
  );
  const before = await settledScans(database);
  await database.query('SELECT pg_stat_statements_reset()');
  await delay(LONG ? 60_000 : 10_000);
  const statements = await database.query<{ calls: number; query: string }>(
    'SELECT calls::int, query FROM pg_stat_statements ORDER BY calls DESC',
  );
  expect(statements.filter(({ query }) => query.includes('outbox'))).toEqual([]);
  expect(await scans(database)).toBe(before);
  const walposts = statements.filter(({ query }) => !query.includes('pg_stat'));
  process.stdout.write(
    `${walposts.map(({ calls, query }) => `${calls} x ${query.replace(/\s+/g, ' ')}`).join('\n')}\n`,
  );
});

/** How often the table and its indexes were read, whatever the statements were called. */
async function scans(database: TestDatabase): Promise<number> {
  const [row] = await database.query<{ reads: string }>(
    `SELECT (coalesce(seq_scan, 0) + coalesce(idx_scan, 0))::text AS reads FROM pg_stat_user_tables
      WHERE relid = 'walpost.outbox'::regclass`,
  );
  return Number(row?.reads);
}

/** A session that is idle reports what it has counted within ten seconds (PGSTAT_IDLE_INTERVAL in pgstat.c). */
async function settledScans(database: TestDatabase): Promise<number> {
  for (let seen = await scans(database); ;) {
    await delay(11_000);
    const now = await scans(database);
    if (now === seen) return now;
    seen = now;
  }
}
