/**
 * Functions, views and triggers: files of sql/ that may change with every release. Each object is defined in one file, with
 * CREATE OR REPLACE. The files are applied in the order of their names, functions first, since a function or view needs those
 * that it calls.
 *
 * A change that CREATE OR REPLACE cannot make (a signature, a return type, the columns of a view, a removed object) needs a
 * numbered file in sql/tables/ that drops the old object. After a numbered file all of these files are applied again, so such
 * a file may use CASCADE.
 *
 * The database keeps the release that applied them. An older program leaves those of a newer release alone: it must not take
 * a new function away from the applications and the relay that use it. The files of one release belong together, so this
 * holds for all of them or for none.
 */
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type pg from 'pg';
import { VERSION } from '../../version.ts';
import { databaseError } from '../database-error.ts';
import { SQLSTATE, isSqlState } from '../sqlstate.ts';
import { readSql, sqlDirectory } from './migration-files.ts';
import { compareReleases } from './release-order.ts';

export interface Repeatable {
  /** Folder and file, such as functions/03_publish.sql. */
  readonly name: string;
  readonly sql: string;
  readonly checksum: string;
}

/** A row of walpost.repeatables. */
export interface AppliedRepeatable {
  readonly name: string;
  readonly checksum: string;
  readonly release: string;
}

export interface RepeatableState {
  /** The release that owns what is in the database, where it is newer than this program. Nothing is outdated then. */
  readonly newer: string | undefined;
  /** Files that are missing in the database, or differ there, in order. */
  readonly outdated: readonly Repeatable[];
  /** The bookkeeping is not that of this release, though all files may be the same. */
  readonly unstamped: boolean;
}

const FOLDERS = ['functions', 'views', 'triggers'];

/** The repeatable files of this program, in the order in which they are applied. */
export async function readRepeatables(directory = sqlDirectory()): Promise<Repeatable[]> {
  const folders = await Promise.all(
    FOLDERS.map(async (folder) => {
      const names = (await readdir(join(directory, folder))).filter((name) => name.endsWith('.sql')).toSorted();
      return names.map((name) => `${folder}/${name}`);
    }),
  );
  return Promise.all(folders.flat().map(async (name) => ({ name, ...(await readSql(join(directory, name))) })));
}

export async function readAppliedRepeatables(client: pg.ClientBase | pg.Pool): Promise<AppliedRepeatable[]> {
  try {
    const { rows } = await client.query<AppliedRepeatable>('SELECT name, checksum, release FROM walpost.repeatables');
    return rows;
  } catch (error) {
    if (isSqlState(error, SQLSTATE.undefinedTable, SQLSTATE.invalidSchemaName)) return [];
    throw error;
  }
}

/** Compares the files of this program with those of the database. Without files there is nothing to compare. */
export function repeatableState(
  files: readonly Repeatable[],
  applied: readonly AppliedRepeatable[],
  release = VERSION,
): RepeatableState {
  const newest = applied
    .map((row) => row.release)
    .toSorted(compareReleases)
    .at(-1);
  if (newest !== undefined && compareReleases(newest, release) > 0) {
    return { newer: newest, outdated: [], unstamped: false };
  }
  const known = new Map(applied.map((row) => [row.name, row.checksum]));
  const outdated = files.filter((file) => known.get(file.name) !== file.checksum);
  const unstamped = files.length > 0 && (outdated.length > 0 || newest !== release || applied.length > files.length);
  return { newer: undefined, outdated, unstamped };
}

/** Applies the outdated files; pass a connection in a transaction. */
export async function applyRepeatables(
  client: pg.ClientBase,
  files: readonly Repeatable[],
  { outdated }: RepeatableState,
  release = VERSION,
): Promise<void> {
  for (const { name, sql } of outdated) {
    try {
      await client.query(sql);
    } catch (error) {
      if (isSqlState(error, SQLSTATE.lockNotAvailable, SQLSTATE.deadlockDetected)) throw error; // it is tried again
      throw databaseError(error, `applying ${name}`);
    }
  }
  await client.query(recordSql(files, release));
}

/** Records all files as applied by a release. */
export function recordSql(files: readonly Repeatable[], release = VERSION): string {
  const rows = files.map(({ name, checksum }) => `  ('${name}', '${checksum}', '${release.replaceAll("'", "''")}')`);
  return `MERGE INTO walpost.repeatables AS r
USING (VALUES
${rows.join(',\n')}
) AS f (name, checksum, release) ON f.name = r.name
WHEN MATCHED AND (r.checksum, r.release) <> (f.checksum, f.release) THEN
  UPDATE SET checksum = f.checksum, release = f.release, applied_at = clock_timestamp()
WHEN NOT MATCHED THEN
  INSERT (name, checksum, release) VALUES (f.name, f.checksum, f.release);
DELETE FROM walpost.repeatables WHERE name NOT IN (${files.map(({ name }) => `'${name}'`).join(', ')});`;
}

/** After a numbered file everything is applied again: it may have dropped what depends on an object that changed. */
export const FORGET_REPEATABLES = `UPDATE walpost.repeatables SET checksum = ''`;
