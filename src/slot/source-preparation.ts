/**
 * What a table that is already there needs to be read as an outbox, as statements for a person to read first: the columns
 * and the index of scans, the publication, and the rights of the relay. Nothing is listed twice: after a plan was applied,
 * or half of it, the next one holds what is still missing.
 */
import { WalpostError } from '../errors.ts';
import { quoteIdentifier, quoteQualified, splitQualified } from '../postgres/identifiers.ts';
import { createPublicationSql } from './publication.ts';
import { ask } from './queryable.ts';
import type { Queryable } from './queryable.ts';

export interface PreparationStep {
  readonly sql: string;
  /** One sentence about what it does to a table in use. */
  readonly note: string;
}

export interface PreparationOptions {
  readonly db: Queryable;
  readonly publication: string;
  /** As schema.table. */
  readonly table: string;
}

interface Facts {
  partitioned: boolean;
  size: string;
  xid_type: string | null;
  seq_type: string | null;
  indexed: boolean;
  row_security: boolean;
  published: boolean;
  publication: boolean;
  inserts: boolean;
  via_root: boolean;
  relay: boolean;
  relay_reads: boolean;
  relay_policy: boolean;
}

const FACTS = `
  SELECT c.relkind = 'p' AS partitioned, pg_size_pretty(pg_table_size(c.oid)) AS size, c.relrowsecurity AS row_security,
         (SELECT a.atttypid::regtype::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'created_xid' AND NOT a.attisdropped) AS xid_type,
         (SELECT a.atttypid::regtype::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'seq' AND NOT a.attisdropped) AS seq_type,
         EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL
                    AND pg_get_indexdef(i.indexrelid, 1, true) = 'created_xid' AND pg_get_indexdef(i.indexrelid, 2, true) = 'seq') AS indexed,
         EXISTS (SELECT FROM pg_publication_tables t WHERE t.pubname = $3 AND t.schemaname = $1 AND t.tablename = $2) AS published,
         p.oid IS NOT NULL AS publication, coalesce(p.pubinsert, false) AS inserts, coalesce(p.pubviaroot, false) AS via_root,
         r.oid IS NOT NULL AS relay,
         coalesce(has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_table_privilege(r.oid, c.oid, 'SELECT'), false) AS relay_reads,
         EXISTS (SELECT FROM pg_policy o WHERE o.polrelid = c.oid AND o.polname = 'walpost_relay') AS relay_policy
    FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_publication p ON p.pubname = $3
         LEFT JOIN pg_roles r ON r.rolname = 'walpost_relay'
   WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')`;

export async function planPreparation(options: PreparationOptions): Promise<PreparationStep[]> {
  const [schema, name, ...more] = splitQualified(options.table);
  const qualified = name !== undefined && more.length === 0;
  const [facts] = qualified ? await ask<Facts>(options.db, FACTS, [schema, name, options.publication]) : [];
  if (!facts) throw new WalpostError('SOURCE_TABLE', { detail: `There is no table ${options.table}.` });
  const table = quoteQualified(options.table);
  return [
    ...columnSteps(facts, table),
    ...publicationSteps(facts, options, table),
    ...rightSteps(facts, table, quoteIdentifier(schema ?? '')),
  ];
}

function columnSteps(facts: Facts, table: string): PreparationStep[] {
  const { xid_type: xid, seq_type: seq } = facts;
  for (const [column, type, wanted] of [
    ['created_xid', xid, 'xid8'],
    ['seq', seq, 'bigint'],
  ] as const) {
    if (type === null || type === wanted) continue;
    throw new WalpostError('SCAN_COLUMNS', {
      detail: `${table} has a column ${column} of type ${type}, not ${wanted}.`,
      remedy: `Rename it: ALTER TABLE ${table} RENAME COLUMN ${column} TO …;`,
    });
  }
  const steps: PreparationStep[] = [];
  if (xid === null) {
    steps.push({
      sql: `ALTER TABLE ${table} ADD COLUMN created_xid xid8 NOT NULL DEFAULT pg_current_xact_id()`,
      note: 'Locks the table for a moment. The rows that are there get the number of this transaction.',
    });
  }
  if (seq === null) {
    steps.push({
      sql: `ALTER TABLE ${table} ADD COLUMN seq bigint GENERATED ALWAYS AS IDENTITY`,
      note: `Writes the whole table again (${facts.size}), and locks it meanwhile.`,
    });
  }
  if (!facts.indexed) {
    const how = facts.partitioned ? 'CREATE INDEX' : 'CREATE INDEX CONCURRENTLY';
    const note = facts.partitioned ? 'Writers wait until the index is there.' : 'Writers go on.';
    steps.push({ sql: `${how} ON ${table} (created_xid, seq)`, note });
  }
  return steps;
}

function publicationSteps(facts: Facts, options: PreparationOptions, table: string): PreparationStep[] {
  const name = quoteIdentifier(options.publication);
  const note = 'Rows that are inserted from here on are streamed.';
  if (!facts.publication) return [{ sql: createPublicationSql(options.publication, options.table), note }];
  const steps: PreparationStep[] = [];
  if (facts.partitioned && !facts.via_root) {
    const sql = `ALTER PUBLICATION ${name} SET (publish_via_partition_root = true)`;
    steps.push({ sql, note: 'Rows are named after the table, not after its partition.' });
  }
  if (!facts.published) steps.push({ sql: `ALTER PUBLICATION ${name} ADD TABLE ${table}`, note });
  if (!facts.inserts) steps.push({ sql: `ALTER PUBLICATION ${name} SET (publish = 'insert')`, note });
  return steps;
}

function rightSteps(facts: Facts, table: string, schema: string): PreparationStep[] {
  if (!facts.relay) return [];
  const steps: PreparationStep[] = [];
  if (!facts.relay_reads) {
    const sql = `GRANT USAGE ON SCHEMA ${schema} TO walpost_relay; GRANT SELECT ON ${table} TO walpost_relay`;
    steps.push({ sql, note: 'The relay reads it when it heals, replays and starts.' });
  }
  if (facts.row_security && !facts.relay_policy) {
    const sql = `CREATE POLICY walpost_relay ON ${table} FOR SELECT TO walpost_relay USING (true)`;
    steps.push({ sql, note: 'The relay works for all organizations, and must not miss a row.' });
  }
  return steps;
}
