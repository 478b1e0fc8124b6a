import type pg from 'pg';
import { WalpostError } from '../../errors.ts';
import type { Migration } from './migration-files.ts';
import type { AppliedMigration } from './migration-state.ts';

const TABLE = String.raw`(walpost(?:_internal)?\.\w+)`;
const CHANGES = new RegExp(
  `^\\s*(?:CREATE TABLE (?:IF NOT EXISTS )?${TABLE}|DROP TABLE (?:IF EXISTS )?${TABLE}|ALTER TABLE ${TABLE} RENAME TO (\\w+))`,
  'gim',
);

/** The tables that are there once these files have been applied, in order. */
export function tablesOf(migrations: readonly Pick<Migration, 'sql'>[]): readonly string[] {
  const tables = new Set<string>();
  for (const [, created, dropped, renamed = '', name = ''] of migrations.flatMap(({ sql }) => [
    ...sql.matchAll(CHANGES),
  ])) {
    if (created !== undefined) tables.add(created);
    tables.delete(dropped ?? renamed);
    if (renamed !== '') tables.add(`${renamed.split('.')[0]}.${name}`);
  }
  return [...tables];
}

/** Throws SCHEMA_DAMAGED when a table of a migration that was applied is gone: no migration would make it again. */
export async function refuseMissingTables(
  db: Pick<pg.ClientBase, 'query'> | pg.Pool,
  migrations: readonly Migration[],
  applied: readonly AppliedMigration[],
): Promise<void> {
  const done = new Set(applied.map(({ number }) => number));
  const expected = tablesOf(migrations.filter(({ number }) => done.has(number)));
  const { rows } = await db.query<{ name: string }>(
    `SELECT name FROM unnest($1::text[]) WITH ORDINALITY AS t (name, place) WHERE NOT EXISTS (
       SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
        WHERE n.nspname || '.' || c.relname = name AND c.relkind IN ('r', 'p')) ORDER BY place`,
    [expected],
  );
  if (rows.length === 0) return;
  throw new WalpostError('SCHEMA_DAMAGED', { detail: `Missing: ${rows.map(({ name }) => name).join(', ')}.` });
}
