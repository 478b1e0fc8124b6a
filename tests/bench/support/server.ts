/**
 * A server of the benchmark's own with a backlog that was written once. Each run has its own slot, made before the
 * backlog, so every run reads the same write-ahead log from the same place.
 */
import type pg from 'pg';
import { startEmbeddedPostgres } from '../../../src/demo/postgres/embedded-postgres.ts';
import { migrate } from '../../../src/postgres/schema/migrate.ts';
import { newClient } from '../../support/client.ts';

export interface Backlog {
  readonly events: number;
  readonly organizations: number;
  readonly perTransaction: number;
}

export interface BenchServer extends AsyncDisposable {
  readonly url: string;
  readonly version: string;
  readonly client: pg.Client;
  readonly logFile: string;
}

/** Nothing runs in the background that could fall into one run and not into another. */
const SETTINGS = {
  autovacuum: 'off',
  max_wal_size: '8GB',
  checkpoint_timeout: '1h',
  shared_buffers: '256MB',
  max_replication_slots: '200',
};

export async function startBenchServer(
  settings: Readonly<Record<string, string>> = {},
  prepare: (url: string) => Promise<unknown> = migrate,
): Promise<BenchServer> {
  const server = await startEmbeddedPostgres({ settings: { ...SETTINGS, ...settings } });
  const client = newClient({ connectionString: server.url(), application_name: 'bench' });
  await client.connect();
  await prepare(server.url());
  await client.query(FILL);
  return {
    url: server.url(),
    version: server.version,
    client,
    logFile: server.logFile,
    async [Symbol.asyncDispose]() {
      await client.end().catch(() => undefined);
      await server[Symbol.asyncDispose]();
    },
  };
}

/** As walpost leaves them: a first start would read the rows that are there from the table, and each slot has a source. */
export async function makeSlots(client: pg.Client, names: readonly string[]): Promise<void> {
  const { rowCount: recorded } = await client.query(
    `SELECT FROM pg_attribute WHERE attrelid = 'walpost.cursor'::regclass AND attname = 'source_table'`,
  );
  for (const name of names) {
    await client.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [name]);
    if (recorded === 0) continue; // a schema from before slots had a source: any slot is taken as it is
    await client.query(
      `INSERT INTO walpost.cursor (slot, system_identifier, timeline, lsn, source_table, publication)
       SELECT r.slot_name, s.system_identifier::text, 1, r.confirmed_flush_lsn, 'walpost.outbox', 'walpost'
         FROM pg_control_system() AS s, pg_replication_slots AS r WHERE r.slot_name = $1`,
      [name],
    );
  }
}

/** A walsender outlives its client by a moment. */
export async function dropSlot(client: pg.Client, slot: string): Promise<void> {
  await client.query('SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = $1', [
    slot,
  ]);
  await client.query('SELECT pg_drop_replication_slot($1)', [slot]);
  await client.query('DELETE FROM walpost.checkpoints WHERE slot = $1', [slot]);
  await client.query('DELETE FROM walpost.cursor WHERE slot = $1', [slot]);
}

/** Rows of 430 bytes as pgoutput sends them, some a transaction, spread evenly over the organizations. */
const FILL = `
  CREATE PROCEDURE public.fill(first int, events int, per_transaction int, organizations int) LANGUAGE plpgsql AS $$
  BEGIN
    FOR at IN 0 .. events / per_transaction - 1 LOOP
      INSERT INTO walpost.outbox (organization_id, event_type, topic, entity_type, entity_id, payload)
      SELECT public.organization(n::bigint * 7919 % organizations),
             (ARRAY['job.completed', 'job.failed', 'record.updated'])[1 + n % 3],
             (ARRAY['cataloging', 'billing'])[1 + n % 2],
             'cataloging_job', (100000 + n)::text,
             jsonb_build_object('jobId', gen_random_uuid(), 'status', 'completed', 'records', n, 'note', repeat('x', 108))
        FROM generate_series(first + at * per_transaction, first + (at + 1) * per_transaction - 1) AS n;
      COMMIT;
    END LOOP;
  END $$;
  CREATE FUNCTION public.organization(n bigint) RETURNS uuid IMMUTABLE LANGUAGE sql AS
    $$ SELECT md5('organization ' || n)::uuid $$`;

/** `beyond` lies before the end LSN of the last transaction and behind all others; `end` is that end LSN. */
export interface Written {
  readonly beyond: string;
  readonly end: string;
}

export async function writeBacklog(client: pg.Client, backlog: Backlog): Promise<Written> {
  const { events, perTransaction, organizations } = backlog;
  const most = events - perTransaction;
  await client.query('SET synchronous_commit = off');
  await client.query(`CALL public.fill(0, ${most}, ${perTransaction}, ${organizations})`);
  await client.query('BEGIN');
  await client.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, topic, payload)
     SELECT public.organization(n::bigint * 7919 % $1), 'job.completed', 'billing', '{}'
       FROM generate_series(1, $2::int) AS n`,
    [organizations, perTransaction],
  );
  const beyond = await insertLsn(client);
  await client.query('COMMIT');
  const end = await insertLsn(client);
  await client.query('SET synchronous_commit = on');
  await client.query('CHECKPOINT');
  await client.query('ANALYZE walpost.outbox');
  return { beyond, end };
}

async function insertLsn(client: pg.Client): Promise<string> {
  const { rows } = await client.query<{ lsn: string }>('SELECT pg_current_wal_insert_lsn()::text AS lsn');
  return rows[0]?.lsn ?? '0/0';
}
