import { WalpostError } from '../../errors.ts';
import { quoteIdentifier, quoteQualified, splitQualified } from '../identifiers.ts';
import { mayHideRows } from './row-security.ts';
import { createPublicationSql } from './publication.ts';
import { OWN_TABLE } from '../own-table.ts';
import { ask } from '../queryable.ts';
import { missingTable } from './missing-table.ts';
import { MEMBERS, type ObstacleOptions, publishWholeTable, refuseObstacles } from './source-obstacles.ts';

export type SourceCheckOptions = ObstacleOptions;

interface SourceRow {
  id: number;
  kind: string;
  columns: string[];
  role: string;
  usable: boolean;
  readable: boolean;
  unlogged: string | null;
}

const SOURCE = `
  SELECT c.oid AS id, c.relkind AS kind, current_user::text AS role,
         ARRAY(SELECT a.attname::text FROM pg_attribute a
                WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS columns,
         has_schema_privilege(n.oid, 'USAGE') AS usable, has_table_privilege(c.oid, 'SELECT') AS readable,
         (SELECT min(l.oid::regclass::text) FROM pg_class l WHERE l.relkind = 'r' AND l.relpersistence <> 'p'
             AND l.oid IN (SELECT c.oid UNION ALL SELECT relid FROM pg_partition_tree(c.oid))) AS unlogged
    FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace
   WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p', 'v', 'm', 'f')`;

const NO_TABLE: Readonly<Record<string, string>> = { v: 'a view', m: 'a materialized view', f: 'a foreign table' };

/**
 * Checks the source table and its publication as the relay will use them. Each failing check is one error with the
 * statement that mends it. Checked at the start because none of it fails later: a table outside the publication, or rows
 * that a policy hides, just never arrive. Returns the number of the table.
 *
 * A table that changes between two of the statements would look like a fault of the publication. So the table is checked once
 * more before the publication is blamed.
 */
export async function checkSource(options: SourceCheckOptions): Promise<number> {
  const row = await checkTable(options);
  try {
    await checkPublication(options, row);
  } catch (error) {
    await checkTable(options);
    throw error;
  }
  return row.id;
}

/**
 * What keeps rows out comes first, for of what an unlogged table leaves behind nothing is seen any more once it is logged
 * again: no other error may hide it.
 */
async function checkTable(options: SourceCheckOptions): Promise<SourceRow> {
  const row = await readSource(options);
  if (row.unlogged !== null) {
    throw new WalpostError('SOURCE_UNLOGGED', {
      detail: `${row.unlogged} is unlogged or temporary.`,
      remedy: `ALTER TABLE ${row.unlogged} SET LOGGED; walpost then reads from the table what was written meanwhile.`,
    });
  }
  await refuseObstacles(options, row.id);
  const missing = options.columns.filter((column) => !row.columns.includes(column));
  if (missing.length > 0) {
    throw new WalpostError('SOURCE_TABLE', {
      detail: `${options.table} has no column ${missing.map(quoteIdentifier).join(', ')}; it has ${row.columns.join(', ')}.`,
      remedy:
        options.table === OWN_TABLE
          ? 'Add them again, as `walpost migrate --sql` prints them; or name a table of your own in source.table.'
          : 'Name columns that it has in source.columns, or null for a field that has none.',
    });
  }
  if (!row.usable || !row.readable) throw mayNotRead(options.table, row);
  if (await mayHideRows(options.db, options.table)) {
    const role = quoteIdentifier(row.role);
    throw new WalpostError('ROW_SECURITY', {
      detail: `It is active on ${options.table} for role "${row.role}".`,
      remedy:
        `CREATE POLICY walpost_relay_reads ON ${quoteQualified(options.table)} FOR SELECT TO ${role} USING (true); ` +
        `or ALTER ROLE ${role} BYPASSRLS;`,
    });
  }
  return row;
}

/** Both statements where both are missing: one alone would only bring the next refusal. */
function mayNotRead(table: string, { role, usable, readable }: SourceRow): WalpostError {
  const [schema = ''] = splitQualified(table);
  const to = quoteIdentifier(role);
  const statements = [
    ...(usable ? [] : [`GRANT USAGE ON SCHEMA ${quoteIdentifier(schema)} TO ${to};`]),
    ...(readable ? [] : [`GRANT SELECT ON ${quoteQualified(table)} TO ${to};`]),
  ];
  return new WalpostError('PERMISSION_DENIED', {
    detail: `Role "${role}" may not read ${table}.`,
    remedy: statements.join(' '),
  });
}

async function readSource({ db, table }: SourceCheckOptions): Promise<SourceRow> {
  const [schema, name, ...more] = splitQualified(table);
  const isQualified = name !== undefined && more.length === 0;
  const [row] = isQualified ? await ask<SourceRow>(db, SOURCE, [schema, name]) : [];
  if (!row) throw await missingTable(db, table, 'source.table');
  const instead = NO_TABLE[row.kind];
  if (instead !== undefined) {
    throw new WalpostError('SOURCE_TABLE', {
      detail: `${table} is ${instead}, and only a table is streamed.`,
      remedy: 'Name the table that the rows are written to in source.table, or give it that name again.',
    });
  }
  return row;
}

interface PublicationRow {
  inserts: boolean;
  via_root: boolean;
  columns: string[] | null;
  /** Stored generated columns: from PostgreSQL 16 on a publication does not list them, and wal2json sends them. */
  generated: string[];
  /** The table is a partition of it, and published under its name. */
  ancestor: string | null;
  alone: boolean;
  changes: boolean;
}

const PUBLICATION = `
  SELECT p.pubinsert AS inserts, p.pubviaroot AS via_root, t.attnames::text[] AS columns,
         ARRAY(SELECT a.attname::text FROM pg_attribute a WHERE a.attrelid = $4 AND a.attgenerated = 's') AS generated,
         (SELECT a.relid::regclass::text FROM pg_partition_ancestors($4) a
            JOIN pg_class c ON c.oid = a.relid JOIN pg_namespace n ON n.oid = c.relnamespace
            JOIN pg_publication_tables o ON o.pubname = p.pubname AND o.schemaname = n.nspname AND o.tablename = c.relname
           WHERE a.relid <> $4 AND p.pubviaroot LIMIT 1) AS ancestor,
         ${MEMBERS}
    FROM pg_publication p
         LEFT JOIN pg_publication_tables t ON t.pubname = p.pubname AND t.schemaname = $2 AND t.tablename = $3
   WHERE p.pubname = $1`;

async function checkPublication(options: SourceCheckOptions, source: SourceRow): Promise<void> {
  const { db, table } = options;
  const [schema, name] = splitQualified(table);
  const [row] = await ask<PublicationRow>(db, PUBLICATION, [options.publication, schema, name, source.id]);
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
  if (source.kind === 'p' && !row.via_root) {
    refuse(
      `${table} is partitioned, and ${publication} names its partitions.`,
      'SET (publish_via_partition_root = true)',
    );
  }
  if (row.columns === null && row.ancestor !== null) {
    refuse(
      `${table} is a partition, and ${publication} names its rows after ${row.ancestor}.`,
      'SET (publish_via_partition_root = false)',
    );
  }
  if (row.columns === null) refuse(`${publication} does not hold ${table}.`, `ADD TABLE ${quoteQualified(table)}`);
  if (!row.inserts) refuse(`${publication} does not publish inserts.`, `SET (publish = 'insert')`);
  const sent = [...(row.columns ?? []), ...(options.plugin === 'wal2json' ? row.generated : [])];
  const left = options.columns.filter((column) => !sent.includes(column));
  if (left.length > 0) {
    const names = left.map(quoteIdentifier).join(', ');
    throw new WalpostError('PUBLICATION_TABLE', {
      detail: `${publication} leaves out the column ${names}.`,
      remedy: publishWholeTable(options, row),
    });
  }
}
