/**
 * Brings the schemas walpost and walpost_internal to the state of sql/. First the numbered files of sql/tables/, each in one
 * transaction with its row in walpost.migrations, so that a file is either applied and recorded or neither. Then functions,
 * views and triggers (repeatable.ts), all of them and the role model in one transaction, so that applications never see a part.
 *
 * One session migrates at a time, and no wait is silent or without an end: migration-turn.ts.
 */
import type pg from 'pg';
import { WalpostError } from '../../errors.ts';
import { databaseError } from '../database-error.ts';
import { readCaptureProblems } from './captures.ts';
import { recordInstallation } from './installation.ts';
import { type Migration, readMigrations } from './migration-files.ts';
import { type AppliedMigration, pendingMigrations } from './migration-state.ts';
import { refuseMissingTables } from './missing-tables.ts';
import { MigrationTurn } from './migration-turn.ts';
import { textTypes } from '../pool.ts';
import {
  applyRepeatables,
  FORGET_REPEATABLES,
  readAppliedRepeatables,
  readRepeatables,
  type Repeatable,
  repeatableState,
} from './repeatable.ts';
import { readRolePrefix, rolePrefixSql } from './role-prefix.ts';
import { mendRoleModel } from './role-model.ts';
import { refuseForeignCode } from './schema-guard.ts';
import { readUnboundLogins } from './unbound-logins.ts';
import { type CommandSession, inCommandSession } from '../command-session.ts';
import { placeOf } from '../session.ts';
import { SQLSTATE, isSqlState } from '../sqlstate.ts';

/** A file that is applied. */
export type MigrationStep = Migration | Repeatable;

export interface MigrateOptions {
  /** Called after each file that was applied. */
  readonly onStep?: (step: MigrationStep) => void;
  /** Called with each line about what was not as the role model wants it, and is now. */
  readonly onMended?: (line: string) => void;
  /** Called with each warning of the server, in one line with its hint. */
  readonly onNotice?: (text: string) => void;
  /** By default the files that come with this program. */
  readonly migrations?: readonly Migration[];
  /** By default those that come with this program; none where `migrations` are given. */
  readonly repeatables?: readonly Repeatable[];
  /** The release of this program, which is recorded with the repeatable files. */
  readonly release?: string;
  /** Of the roles; by default it stays what it is. */
  readonly rolePrefix?: string | undefined;
  /** Milliseconds after which a wait for other sessions is given up. */
  readonly patience?: number;
  /** Milliseconds without any answer of the server after which it is given up. */
  readonly silenceMs?: number;
}

const OLDEST_SERVER = 150_000;

/** The schemas and the bookkeeping; it may run any number of times. */
export const BOOTSTRAP = `
  CREATE SCHEMA IF NOT EXISTS walpost;
  CREATE SCHEMA IF NOT EXISTS walpost_internal;
  COMMENT ON SCHEMA walpost IS 'Outbox, cursor and stores of walpost, a post office for the write-ahead log.';
  CREATE TABLE IF NOT EXISTS walpost.migrations (
    number     integer PRIMARY KEY,
    name       text NOT NULL,
    checksum   text NOT NULL,
    breaking   boolean NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
  );
  CREATE TABLE IF NOT EXISTS walpost.repeatables (
    name       text PRIMARY KEY,
    checksum   text NOT NULL,
    release    text NOT NULL,
    applied_at timestamptz NOT NULL DEFAULT clock_timestamp()
  );
  CREATE TABLE IF NOT EXISTS walpost.migration_turn ();
  COMMENT ON SCHEMA walpost_internal IS 'Functions that the functions and views of walpost call; not for applications.';
  COMMENT ON TABLE walpost.migration_turn IS 'Empty. The session that migrates locks it, and no other role may.';
  COMMENT ON TABLE walpost.repeatables IS 'Files of functions, views and triggers that walpost migrate has applied.';
  COMMENT ON COLUMN walpost.repeatables.name IS 'Folder and file name.';
  COMMENT ON COLUMN walpost.repeatables.checksum IS 'SHA-256 of the file as applied; empty after a numbered file: it is applied again.';
  COMMENT ON COLUMN walpost.repeatables.release IS 'The release that applied it; an older program leaves it alone.';
  COMMENT ON COLUMN walpost.repeatables.applied_at IS 'When it was applied.';
  COMMENT ON TABLE walpost.migrations IS 'The numbered SQL files that walpost migrate has applied.';
  COMMENT ON COLUMN walpost.migrations.number IS 'Number at the start of the file name.';
  COMMENT ON COLUMN walpost.migrations.name IS 'File name.';
  COMMENT ON COLUMN walpost.migrations.checksum IS 'SHA-256 of the file as applied.';
  COMMENT ON COLUMN walpost.migrations.breaking IS 'Programs that do not have this file must not work with the schema.';
  COMMENT ON COLUMN walpost.migrations.applied_at IS 'When it was applied.';
`;

/** What migrate would apply now; writes nothing. */
export async function plan(url: string, options: MigrateOptions = {}): Promise<readonly MigrationStep[]> {
  const { migrations, repeatables } = await filesOf(options);
  return withSession({ url }, async (client) => {
    await refuseForeignCode(client);
    const applied = await readApplied(client);
    const pending = pendingMigrations(migrations, applied);
    await refuseMissingTables(client, migrations, applied);
    const { outdated, newer } = repeatableState(repeatables, await readAppliedRepeatables(client), options.release);
    return [...pending, ...(pending.length > 0 && newer === undefined ? repeatables : outdated)];
  });
}

interface SchemaFiles {
  readonly migrations: readonly Migration[];
  readonly repeatables: readonly Repeatable[];
}

async function filesOf({ migrations, repeatables }: MigrateOptions): Promise<SchemaFiles> {
  return {
    migrations: migrations ?? (await readMigrations()),
    repeatables: repeatables ?? (migrations === undefined ? await readRepeatables() : []),
  };
}

/** Applies what is missing, brings the role model back, and returns what was applied. */
export async function migrate(url: string, options: MigrateOptions = {}): Promise<readonly MigrationStep[]> {
  const files = await filesOf(options);
  // While a file is applied, the session of the turn asks ten times a second: it is a sign of life for both.
  const heard = { at: 0 };
  const session = { url, heard, ...(options.silenceMs !== undefined && { silenceMs: options.silenceMs }) };
  return withSession(session, async (client) => {
    client.on('notice', ({ message = '', hint = '' }) => options.onNotice?.(`${message}. ${hint}`.trim()));
    await refuseForeignCode(client);
    return withSession(session, (turnClient) => applyPending(client, turnClient, files, options));
  });
}

async function applyPending(
  client: pg.Client,
  turnClient: pg.Client,
  { migrations, repeatables }: SchemaFiles,
  { patience, release, rolePrefix, onStep, onMended, onNotice }: MigrateOptions,
): Promise<readonly MigrationStep[]> {
  const say = (text: string): void => onNotice?.(text);
  const turn = new MigrationTurn({ client: turnClient, say, ...(patience !== undefined && { patience }) });
  await turn.take(() => bootstrap(turnClient));
  await refuseForeignCode(client);
  const applied = await readApplied(client);
  const pending = pendingMigrations(migrations, applied);
  await refuseMissingTables(client, migrations, applied);
  const mend = (): Promise<string[]> =>
    turn.work('bringing the roles and rights back', client, () => inOne(client, () => mendRoleModel(client)));
  for (const line of await mend()) onMended?.(line);
  for (const migration of pending) {
    await turn.work(`applying ${migration.name}`, client, () => apply(client, migration));
    onStep?.(migration);
  }
  const state = repeatableState(repeatables, await readAppliedRepeatables(client), release);
  if (state.newer !== undefined) {
    say(
      `the functions and views are those of walpost ${state.newer}, which is newer than this program; they stay as they are`,
    );
  }
  const renames = rolePrefix !== undefined && rolePrefix !== (await readRolePrefix(client));
  if (state.unstamped || pending.length > 0 || renames) {
    const work = async (): Promise<void> => {
      if (renames) await client.query(rolePrefixSql(rolePrefix));
      if (state.unstamped) await applyRepeatables(client, repeatables, state, release);
      const mended = await mendRoleModel(client); // what is new gets its rights
      if (renames) for (const line of mended) onMended?.(line);
    };
    await turn.work('applying functions and views', client, () => inOne(client, work));
    for (const file of state.outdated) onStep?.(file);
  }
  await recordInstallation(client);
  for (const { line, remedy } of await readUnboundLogins(client)) say(`warning: ${line}. ${remedy}`);
  for (const { line, remedy } of await readCaptureProblems(client)) say(`${line}. ${remedy}`);
  return [...pending, ...state.outdated];
}

/** Throws unless this program can work with the schema as it is: functions of a newer release are fine. */
export async function assertMigrated(pool: pg.Pool, options: MigrateOptions = {}): Promise<void> {
  const { migrations, repeatables } = await filesOf(options);
  const [applied, known] = await Promise.all([readApplied(pool), readAppliedRepeatables(pool)]).catch(
    (error: unknown) => {
      throw databaseError(error, 'reading walpost.migrations');
    },
  );
  const { outdated } = repeatableState(repeatables, known, options.release);
  const pending = [...pendingMigrations(migrations, applied), ...outdated];
  if (pending.length === 0) return refuseMissingTables(pool, migrations, applied);
  const [first, ...others] = pending.map(({ name }) => name);
  const more = others.length > 3 ? [`${others.length - 1} more`, others.at(-1)] : others;
  throw new WalpostError('MIGRATION_MISSING', { detail: `To be applied: ${[first, ...more].join(', ')}.` });
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

/** Once more behind the first lines, because somebody may have been there between the look and them. */
async function bootstrap(client: pg.Client): Promise<void> {
  await inOne(client, async () => {
    await client.query(BOOTSTRAP);
    await refuseForeignCode(client);
  });
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
      await client.query(FORGET_REPEATABLES);
    });
  } catch (error) {
    if (isSqlState(error, SQLSTATE.lockNotAvailable, SQLSTATE.deadlockDetected)) throw error; // it is tried again
    throw databaseError(error, `applying ${name}`);
  }
}

async function inOne<T>(client: pg.Client, work: () => Promise<T>): Promise<T> {
  await client.query('BEGIN');
  try {
    const result = await work();
    await client.query('COMMIT');
    return result;
  } catch (error) {
    await client.query('ROLLBACK').catch(() => undefined);
    throw error;
  }
}

/**
 * Far below the default deadlock_timeout of a second: when a publisher and this session wait for each other, this one gives
 * up and tries again, before the server looks for a deadlock and ends the publisher's transaction.
 */
const SETTINGS = { lock_timeout: '300ms', client_min_messages: 'warning', jit: 'off' };

/** A connection that does not wait long for any lock, so that publishers never queue behind a migration that itself waits. */
async function withSession<T>(
  { url, silenceMs, heard }: Pick<CommandSession, 'url' | 'silenceMs' | 'heard'>,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const session = { url, applicationName: 'walpost migrate', settings: SETTINGS, types: textTypes };
  const watched = { ...(silenceMs !== undefined && { silenceMs }), ...(heard && { heard }) };
  return inCommandSession({ ...session, ...watched }, async (client) => {
    const { rows } = await client.query<{ version: number; name: string; standby: boolean }>(
      `SELECT current_setting('server_version_num')::int AS version, current_setting('server_version') AS name,
              pg_is_in_recovery() AS standby`,
    );
    if (rows[0]?.standby) throw new WalpostError('HOT_STANDBY', { detail: `It is ${placeOf(client)}.` });
    if ((rows[0]?.version ?? 0) < OLDEST_SERVER) {
      throw new WalpostError('SERVER_VERSION', { detail: `It is ${rows[0]?.name}.` });
    }
    return work(client);
  });
}
