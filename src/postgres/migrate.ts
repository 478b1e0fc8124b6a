/**
 * Brings the schema walpost to the state of sql/: numbered files, each in one transaction with its row in
 * walpost.migrations, so that a file is either applied and recorded or neither.
 *
 * Any number may start at once: an advisory lock lets one through at a time, and who comes later finds the work done. The
 * lock is waited for in short turns, because a session that waits holds back VACUUM and CREATE INDEX CONCURRENTLY in
 * the whole database.
 */
import pg from 'pg';
import { WalpostError } from '../errors.ts';
import { databaseError } from './database-error.ts';
import { type Migration, readMigrations } from './migration-files.ts';
import { type AppliedMigration, pendingMigrations } from './migration-state.ts';
import { textTypes } from './pool.ts';
import { SQLSTATE, isSqlState } from './sqlstate.ts';

export interface MigrateOptions {
  /** Called after each file that was applied. */
  readonly onStep?: (migration: Migration) => void;
  /** Called with each warning of the server, in one line with its hint. */
  readonly onNotice?: (text: string) => void;
  /** By default the files that come with this program. */
  readonly migrations?: readonly Migration[];
}

/** 'walpost' in ASCII: any number does that nobody else uses. */
const LOCK = 0x77616c706f7374n;
const OLDEST_SERVER = 150_000;

const BOOTSTRAP = `
  CREATE SCHEMA IF NOT EXISTS walpost;
  COMMENT ON SCHEMA walpost IS 'Outbox, cursor and stores of walpost, a post office for the write-ahead log.';
  CREATE TABLE IF NOT EXISTS walpost.migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    breaking   boolean NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
  );
  COMMENT ON TABLE walpost.migrations IS 'The SQL files that walpost migrate has applied.';
  COMMENT ON COLUMN walpost.migrations.number IS 'Number at the start of the file name.';
  COMMENT ON COLUMN walpost.migrations.name IS 'File name.';
  COMMENT ON COLUMN walpost.migrations.checksum IS 'SHA-256 of the file as applied.';
  COMMENT ON COLUMN walpost.migrations.breaking IS 'Programs that do not have this file must not work with the schema.';
  COMMENT ON COLUMN walpost.migrations.applied_at IS 'When it was applied.';
`;

/** New tables and functions get the rights of the roles, and lose those of PUBLIC (sql/028_roles.sql). */
const GRANTS = `
  DO $do$
  BEGIN
    IF to_regprocedure('walpost.apply_grants()') IS NOT NULL THEN
      PERFORM walpost.apply_grants();
    END IF;
  END;
  $do$`;

/** What migrate would apply now; writes nothing. */
export async function plan(url: string, options: MigrateOptions = {}): Promise<readonly Migration[]> {
  const migrations = options.migrations ?? (await readMigrations());
  return withSession(url, async (client) => pendingMigrations(migrations, await readApplied(client)));
}

/** Applies what is missing, and returns it. */
export async function migrate(url: string, options: MigrateOptions = {}): Promise<readonly Migration[]> {
  const migrations = options.migrations ?? (await readMigrations());
  return withSession(url, async (client) => {
    client.on('notice', ({ message = '', hint = '' }) => options.onNotice?.(`${message}. ${hint}`.trim()));
    await lock(client);
    const pending = pendingMigrations(migrations, await readApplied(client));
    if (pending.length > 0) await inOne(client, () => client.query(BOOTSTRAP));
    for (const migration of pending) {
      await apply(client, migration);
      options.onStep?.(migration);
    }
    if (pending.length > 0) await inOne(client, () => client.query(GRANTS));
    return pending;
  });
}

/** Throws unless this program can work with the schema as it is. */
export async function assertMigrated(pool: pg.Pool, migrations?: readonly Migration[]): Promise<void> {
  const files = migrations ?? (await readMigrations());
  const applied = await readApplied(pool).catch((error: unknown) => {
    throw databaseError(error, 'reading walpost.migrations');
  });
  const pending = pendingMigrations(files, applied);
  if (pending.length === 0) return;
  throw new WalpostError('MIGRATION_MISSING', { detail: `To be applied: ${pending.map((it) => it.name).join(', ')}.` });
}

async function readApplied(client: pg.ClientBase | pg.Pool): Promise<AppliedMigration[]> {
  try {
    const { rows } = await client.query<AppliedMigration>(
      'SELECT number, name, checksum, breaking FROM walpost.migrations ORDER BY number',
    );
    return rows;
  } catch (error) {
    if (isSqlState(error, SQLSTATE.undefinedTable, SQLSTATE.invalidSchemaName)) return [];
    throw error;
  }
}

async function apply(client: pg.Client, migration: Migration): Promise<void> {
  const { number, name, checksum, breaking } = migration;
  try {
    await inOne(client, async () => {
      await client.query(migration.sql);
      await client.query('INSERT INTO walpost.migrations (number, name, checksum, breaking) VALUES ($1, $2, $3, $4)', [
        number,
        name,
        checksum,
        breaking,
      ]);
    });
  } catch (error) {
    throw databaseError(error, `applying ${name}`);
  }
}

async function inOne(client: pg.Client, work: () => Promise<unknown>): Promise<void> {
  await client.query('BEGIN');
  try {
    await work();
    await client.query('COMMIT');
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

async function lock(client: pg.Client): Promise<void> {
  for (;;) {
    try {
      await client.query('SELECT pg_advisory_lock($1)', [LOCK]);
      return;
    } catch (error) {
      if (!isSqlState(error, SQLSTATE.lockNotAvailable)) throw error;
    }
  }
}

/** A connection that waits a second for any lock, so that publishers never queue behind a migration that itself waits. */
async function withSession<T>(url: string, work: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = new pg.Client({ connectionString: url, application_name: 'walpost migrate', types: textTypes });
  client.on('error', () => undefined);
  try {
    await client.connect();
    await client.query("SET lock_timeout = '1s'; SET search_path = pg_catalog; SET client_min_messages = warning");
    const { rows } = await client.query<{ version: number; name: string }>(
      "SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS name",
    );
    if ((rows[0]?.version ?? 0) < OLDEST_SERVER) {
      throw new WalpostError('SERVER_VERSION', { detail: `It is ${rows[0]?.name}.` });
    }
    return await work(client);
  } catch (error) {
    throw databaseError(error);
  } finally {
    await client.end().catch(() => undefined);
  }
}
