import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { configSchema } from '../../src/config/schema.ts';
import { createLog } from '../../src/observe/log.ts';
import type { CursorStore } from '../../src/postgres/cursor/cursor-store.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { takeOver } from '../../src/relay/leadership/takeover.ts';
import { replicationConfig } from '../../src/slot/replication-client.ts';
import { checkServer } from '../../src/slot/server-checks.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import { newClient } from '../support/client.ts';

let database: TestDatabase;
let pool: pg.Pool;
const streams: pg.Client[] = [];

beforeEach(async () => {
  database = await createTestDatabase();
  await database.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [database.slotName]);
  pool = createPool(database.url, { applicationName: 'walpost', max: 2 });
});
afterEach(async () => {
  await Promise.all(streams.splice(0).map((client) => client.end().catch(() => undefined)));
  await pool.end();
  await database[Symbol.asyncDispose]();
});

async function runTakeOver(): Promise<CursorStore> {
  const { url, slotName: slot } = database;
  const config = configSchema.parse({
    database: { url },
    source: { slot },
    sinks: { drain: { type: 'discard' } },
    routes: [{ to: ['drain'] }],
  });
  const server = await checkServer({ url, slot });
  const log = createLog({ level: 'silent' });
  const start = { kind: 'continue', slot } as const;
  const lockOf = (): Promise<AsyncDisposable> => Promise.reject(new Error('there is no other slot'));
  return (await takeOver({ config, log, clock: systemClock, pool, server, start, lockOf })).cursor;
}

/** Streams from the slot, and reads no further than the first bytes when it is `deaf`. */
async function stream(applicationName: string): Promise<{ client: pg.Client; pid: number }> {
  const { config } = replicationConfig({ url: database.url });
  const client = newClient({ ...config, application_name: applicationName });
  await client.connect();
  streams.push(client);
  client
    .query(
      `START_REPLICATION SLOT "${database.slotName}" LOGICAL 0/0 (proto_version '1', publication_names '"walpost"')`,
    )
    .catch(() => undefined);
  const pid = await poll('it streams', async () => (await holder()) ?? undefined);
  return { client, pid };
}

async function holder(): Promise<number | null> {
  const [row] = await database.query<{ active_pid: number | null }>(
    'SELECT active_pid FROM pg_replication_slots WHERE slot_name = $1',
    [database.slotName],
  );
  return row?.active_pid ?? null;
}

test('claims the next epoch each time', async () => {
  expect(await runTakeOver()).toMatchObject({ epoch: 1n });
  expect(await runTakeOver()).toMatchObject({ epoch: 2n });
});

test('ends the stream of an older walpost', async () => {
  await stream('walpost');
  await runTakeOver();
  expect(await holder()).toBeNull();
});

test('ends it also while the server waits for the older one to read', async () => {
  const { client, pid } = await stream('walpost');
  client.connection.stream.pause();
  await database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload)
     SELECT gen_random_uuid(), 'big', to_jsonb((SELECT string_agg(md5(n::text || i::text), '') FROM generate_series(1, 16000) AS i))
       FROM generate_series(1, 40) AS n`,
  );
  await poll('the server waits', async () => {
    const waiting = await database.query(
      `SELECT FROM pg_stat_activity WHERE pid = $1 AND wait_event IN ('WalSenderWriteData', 'ClientWrite')`,
      [pid],
    );
    return waiting[0];
  });
  const begun = performance.now();
  await runTakeOver();
  expect(performance.now() - begun).toBeLessThan(3_000);
  expect(await holder()).toBeNull();
});

test('leaves another program its stream, and says who it is', async () => {
  const { pid } = await stream('debezium');
  const refusal = runTakeOver();
  await expect(refusal).rejects.toMatchObject({ code: 'SLOT_IN_USE', policy: 'operator' });
  await expect(refusal).rejects.toThrow(`process ${pid} "debezium"`);
  expect(await holder()).toBe(pid);
});

test('an older walpost that this role may not end is an error for a person', async () => {
  const role = `r_${database.name}`;
  await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'takeover'`);
  try {
    await database.query(`GRANT USAGE ON SCHEMA walpost TO ${role}; GRANT ALL ON walpost.cursor TO ${role}`);
    await database.query(`GRANT pg_read_all_stats TO ${role}`);
    const { pid } = await stream('walpost');
    const url = new URL(database.url);
    [url.username, url.password] = [role, 'takeover'];
    await pool.end();
    pool = createPool(url.href, { applicationName: 'walpost', max: 2 });
    await expect(runTakeOver()).rejects.toMatchObject({ code: 'SLOT_IN_USE' });
    expect(await holder()).toBe(pid);
  } finally {
    await pool.end();
    pool = createPool(database.url, { applicationName: 'walpost', max: 2 });
    await database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});
