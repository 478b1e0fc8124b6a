import { WalpostError } from '../errors.ts';
import { quoteIdentifier, quoteQualified, splitQualified } from '../postgres/identifiers.ts';
import { mayHideRows } from '../postgres/row-security.ts';
import { createPublicationSql } from './publication.ts';
import { ask } from './queryable.ts';
import type { Queryable } from './queryable.ts';

export interface SourceCheckOptions {
  readonly db: Queryable;
  readonly publication: string;
  /** As schema.table. */
  readonly table: string;
  /** Columns that events are made of. */
  readonly columns: readonly string[];
}

interface SourceRow {
  id: number;
  partitioned: boolean;
  columns: string[];
  role: string;
  readable: boolean;
  unlogged: string | null;
}

const SOURCE = `
  SELECT c.oid AS id, c.relkind = 'p' AS partitioned, current_user::text AS role,
         ARRAY(SELECT a.attname::text FROM pg_attribute a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS columns,
         has_schema_privilege(n.oid, 'USAGE') AND has_table_privilege(c.oid, 'SELECT') AS readable,
         (SELECT min(l.oid::regclass::text) FROM pg_class l WHERE l.relkind = 'r' AND l.relpersistence <> 'p'
             AND l.oid IN (SELECT c.oid UNION ALL SELECT relid FROM pg_partition_tree(c.oid))) AS unlogged
    FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')`;

/**
 * Checks the source table and its publication as the relay will use them. Each failing check is one error with the
 * statement that mends it. Checked at the start because none of it fails later: a table outside the publication, or rows
 * that a policy hides, just never arrive. Returns the number of the table.
 *
 * An unlogged table comes first, for of what it leaves behind nothing is seen any more once it is logged again: no other
 * error may hide it.
 */
export async function checkSource(options: SourceCheckOptions): Promise<number> {
  const row = await readSource(options);
  if (row.unlogged !== null) {
    throw new WalpostError('SOURCE_UNLOGGED', {
      detail: `${row.unlogged} is unlogged or temporary.`,
      remedy: `ALTER TABLE ${row.unlogged} SET LOGGED; walpost then reads from the table what was written meanwhile.`,
    });
  }
  const missing = options.columns.filter((column) => !row.columns.includes(column));
  if (missing.length > 0) {
    throw new WalpostError('SOURCE_TABLE', {
      detail: `${options.table} has no column ${missing.map(quoteIdentifier).join(', ')}; it has ${row.columns.join(', ')}.`,
    });
  }
  if (!row.readable) {
    throw new WalpostError('PERMISSION_DENIED', {
      detail: `Role "${row.role}" may not read ${options.table}.`,
      remedy: `GRANT SELECT ON ${quoteQualified(options.table)} TO ${quoteIdentifier(row.role)}; (and USAGE on its schema).`,
    });
  }
  if (await mayHideRows(options.db, options.table)) {
    const role = quoteIdentifier(row.role);
    throw new WalpostError('ROW_SECURITY', {
      detail: `It is active on ${options.table} for role "${row.role}".`,
      remedy:
        `CREATE POLICY walpost_relay_reads ON ${quoteQualified(options.table)} FOR SELECT TO ${role} USING (true); ` +
        `or ALTER ROLE ${role} BYPASSRLS;`,
    });
  }
  await checkPublication(options, row.partitioned);
  return row.id;
}

async function readSource({ db, table }: SourceCheckOptions): Promise<SourceRow> {
  const [schema, name, ...more] = splitQualified(table);
  const isQualified = name !== undefined && more.length === 0;
  const [row] = isQualified ? await ask<SourceRow>(db, SOURCE, [schema, name]) : [];
  if (!row) throw new WalpostError('SOURCE_TABLE', { detail: `There is no table ${table}.` });
  return row;
}

interface PublicationRow {
  inserts: boolean;
  via_root: boolean;
  columns: string[] | null;
}

const PUBLICATION = `
  SELECT p.pubinsert AS inserts, p.pubviaroot AS via_root, t.attnames::text[] AS columns
    FROM pg_publication p
         LEFT JOIN pg_publication_tables t ON t.pubname = p.pubname AND t.schemaname = $2 AND t.tablename = $3
   WHERE p.pubname = $1`;

async function checkPublication(options: SourceCheckOptions, partitioned: boolean): Promise<void> {
  const { db, table } = options;
  const [schema, name] = splitQualified(table);
  const [row] = await ask<PublicationRow>(db, PUBLICATION, [options.publication, schema, name]);
  const publication = quoteIdentifier(options.publication);
  if (!row) {
    throw new WalpostError('PUBLICATION_MISSING', {
      detail: `It is ${publication}.`,
      remedy: `${createPublicationSql(options.publication, table)};`,
    });
  }
  const refuse = (detail: string, change: string): never => {
    throw new WalpostError('PUBLICATION_TABLE', { detail, remedy: `ALTER PUBLICATION ${publication} ${change};` });
  };
  // Without the root, the publication lists a partitioned table's leaves; that has to be said first.
  if (partitioned && !row.via_root) {
    refuse(
      `${table} is partitioned, and ${publication} names its partitions.`,
      'SET (publish_via_partition_root = true)',
    );
  }
  if (row.columns === null) refuse(`${publication} does not hold ${table}.`, `ADD TABLE ${quoteQualified(table)}`);
  if (!row.inserts) refuse(`${publication} does not publish inserts.`, `SET (publish = 'insert')`);
  const left = options.columns.filter((column) => !row.columns?.includes(column));
  if (left.length > 0) {
    const names = left.map(quoteIdentifier).join(', ');
    refuse(`${publication} leaves out the column ${names}.`, `SET TABLE ${quoteQualified(table)}`);
  }
}
