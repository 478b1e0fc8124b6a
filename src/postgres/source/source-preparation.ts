/**
 * What a table that is already there needs to be read as an outbox, as statements for a person to read first: the columns
 * and the index of scans, the publication, and the rights of the relay. Nothing is listed twice: after a plan was applied
 * the next one holds what is still missing.
 *
 * What can be one transaction comes first, so that a statement that is refused leaves nothing behind. The index of a table in
 * use is made outside of it, last; one that was left behind half made is dropped before.
 */
import { WalpostError } from '../../errors.ts';
import { quoteIdentifier, quoteQualified, splitQualified } from '../identifiers.ts';
import { ENDPOINT_CHANGES, publishesEndpoints } from './endpoint-changes.ts';
import { createPublicationSql } from './publication.ts';
import { readRolePrefix } from '../schema/role-prefix.ts';
import { ask } from '../queryable.ts';
import type { Queryable } from '../queryable.ts';
import { missingTable } from './missing-table.ts';

export interface PreparationStep {
  readonly sql: string;
  /** It cannot be part of a transaction. */
  readonly alone?: true;
  /** One sentence about what it does to a table in use. */
  readonly note: string;
}

export interface PreparationOptions {
  readonly db: Queryable;
  readonly publication: string;
  /** As schema.table. */
  readonly table: string;
  /** A sink has endpoints. */
  readonly endpoints?: boolean | undefined;
  /** Of the roles; by default that of the installation. */
  readonly rolePrefix?: string | undefined;
}

interface Facts {
  partitioned: boolean;
  parent: string | null;
  /** Another role than this one. */
  owner: string | null;
  version: number;
  size: string;
  xid_type: string | null;
  seq_type: string | null;
  indexed: boolean;
  half_made: string | null;
  writers: string[];
  row_security: boolean;
  published: boolean;
  changes_published: boolean;
  publication: boolean;
  inserts: boolean;
  via_root: boolean;
  relay: boolean;
  relay_reads: boolean;
  relay_policy: boolean;
  /** The policy is for this role, and not for one of another prefix. */
  relay_is_let: boolean;
}

const FACTS = `
  SELECT c.relkind = 'p' AS partitioned, current_setting('server_version_num')::int AS version,
         (SELECT o.rolname::text FROM pg_roles o WHERE o.oid = c.relowner AND o.rolname <> current_user) AS owner,
         (SELECT i.inhparent::regclass::text FROM pg_inherits i WHERE i.inhrelid = c.oid AND c.relispartition) AS parent, pg_size_pretty(pg_table_size(c.oid)) AS size, c.relrowsecurity AS row_security,
         (SELECT a.atttypid::regtype::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'created_xid' AND NOT a.attisdropped) AS xid_type,
         (SELECT a.atttypid::regtype::text FROM pg_attribute a WHERE a.attrelid = c.oid AND a.attname = 'seq' AND NOT a.attisdropped) AS seq_type,
         EXISTS (SELECT FROM pg_index i WHERE i.indrelid = c.oid AND i.indisvalid AND i.indpred IS NULL
                    AND pg_get_indexdef(i.indexrelid, 1, true) = 'created_xid' AND pg_get_indexdef(i.indexrelid, 2, true) = 'seq') AS indexed,
         (SELECT i.indexrelid::regclass::text FROM pg_index i WHERE i.indrelid = c.oid AND NOT i.indisvalid AND i.indpred IS NULL AND c.relkind = 'r'
             AND pg_get_indexdef(i.indexrelid, 1, true) = 'created_xid' AND pg_get_indexdef(i.indexrelid, 2, true) = 'seq' LIMIT 1) AS half_made,
         ARRAY(SELECT DISTINCT CASE WHEN x.grantee = 0 THEN 'PUBLIC' ELSE x.grantee::regrole::text END
                 FROM (SELECT c.relacl AS acl UNION ALL SELECT w.attacl FROM pg_attribute w WHERE w.attrelid = c.oid) AS a, aclexplode(a.acl) AS x
                WHERE x.privilege_type = 'INSERT' AND x.grantee <> c.relowner ORDER BY 1) AS writers,
         EXISTS (SELECT FROM pg_publication_tables t WHERE t.pubname = $3 AND t.schemaname = $1 AND t.tablename = $2) AS published,
         EXISTS (SELECT FROM pg_publication_tables t WHERE t.pubname = $3 AND t.schemaname = 'walpost' AND t.tablename = 'endpoint_changes') AS changes_published,
         p.oid IS NOT NULL AS publication, coalesce(p.pubinsert, false) AS inserts, coalesce(p.pubviaroot, false) AS via_root,
         r.oid IS NOT NULL AS relay,
         coalesce(has_schema_privilege(r.oid, n.oid, 'USAGE') AND has_table_privilege(r.oid, c.oid, 'SELECT'), false) AS relay_reads,
         EXISTS (SELECT FROM pg_policy o WHERE o.polrelid = c.oid AND o.polname = 'walpost_relay') AS relay_policy,
         EXISTS (SELECT FROM pg_policy o WHERE o.polrelid = c.oid AND o.polname = 'walpost_relay' AND r.oid = ANY (o.polroles)) AS relay_is_let
    FROM pg_class c
         JOIN pg_namespace n ON n.oid = c.relnamespace
         LEFT JOIN pg_publication p ON p.pubname = $3
         LEFT JOIN pg_roles r ON r.rolname = $4
   WHERE n.nspname = $1 AND c.relname = $2 AND c.relkind IN ('r', 'p')`;

export async function planPreparation(options: PreparationOptions): Promise<PreparationStep[]> {
  const relay = `${options.rolePrefix ?? (await readRolePrefix(options.db))}walpost_relay`;
  const [schema, name, ...more] = splitQualified(options.table);
  const qualified = name !== undefined && more.length === 0;
  const [facts] = qualified ? await ask<Facts>(options.db, FACTS, [schema, name, options.publication, relay]) : [];
  if (!facts) throw await missingTable(options.db, options.table, '--outbox');
  if (facts.parent !== null) {
    throw new WalpostError('SOURCE_TABLE', {
      detail: `${options.table} is a partition of ${facts.parent}.`,
      remedy: `Prepare the whole: walpost migrate --outbox ${facts.parent}`,
    });
  }
  const table = quoteQualified(options.table);
  const indexes = indexSteps(facts, table);
  return [
    ...columnSteps(facts, table, [schema ?? '', name ?? '']),
    ...indexes.filter(({ alone }) => !alone),
    ...publicationSteps(facts, options, table),
    ...rightSteps(facts, table, { schema: quoteIdentifier(schema ?? ''), relay: quoteIdentifier(relay) }),
    ...indexes.filter(({ alone }) => alone),
  ];
}

function columnSteps(facts: Facts, table: string, parts: readonly [string, string]): PreparationStep[] {
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
  if (seq === null) steps.push(...seqSteps(facts, table, parts));
  return steps;
}

const IDENTITY_IN_PARTITIONS = 170_000;

/** Before PostgreSQL 17 a partitioned table has no identity. Its sequence then needs a right of its own for each writer. */
function seqSteps(facts: Facts, table: string, [schema, name]: readonly [string, string]): PreparationStep[] {
  const note = `Writes the whole table again (${facts.size}), and locks it meanwhile.`;
  if (!facts.partitioned || facts.version >= IDENTITY_IN_PARTITIONS) {
    return [{ sql: `ALTER TABLE ${table} ADD COLUMN seq bigint GENERATED ALWAYS AS IDENTITY`, note }];
  }
  const sequence = `${quoteIdentifier(schema)}.${quoteIdentifier(`${cutBytes(name, 55)}_seq_seq`)}`;
  const literal = `'${sequence.replaceAll("'", "''")}'`;
  const steps: PreparationStep[] = [
    { sql: `CREATE SEQUENCE ${sequence}`, note: 'A partitioned table has no identity before PostgreSQL 17.' },
    ...ownerSteps(facts, sequence),
    { sql: `ALTER TABLE ${table} ADD COLUMN seq bigint NOT NULL DEFAULT nextval(${literal})`, note },
    { sql: `ALTER SEQUENCE ${sequence} OWNED BY ${table}.seq`, note: 'It goes with the table.' },
  ];
  if (facts.writers.length > 0) {
    const sql = `GRANT USAGE ON SEQUENCE ${sequence} TO ${facts.writers.join(', ')}`;
    steps.push({ sql, note: 'Who may insert needs the next number; so will whoever is granted INSERT later.' });
  }
  return steps;
}

/** A sequence can only go with a table of the same owner. */
function ownerSteps({ owner }: Facts, sequence: string): PreparationStep[] {
  if (owner === null) return [];
  return [{ sql: `ALTER SEQUENCE ${sequence} OWNER TO ${quoteIdentifier(owner)}`, note: 'As the table.' }];
}

/** The text without what goes beyond a number of bytes, and never half a character. */
function cutBytes(text: string, limit: number): string {
  let cut = text;
  while (Buffer.byteLength(cut) > limit) cut = cut.replace(/.$/su, '');
  return cut;
}

function indexSteps(facts: Facts, table: string): PreparationStep[] {
  if (facts.indexed) return [];
  if (facts.partitioned) {
    return [{ sql: `CREATE INDEX ON ${table} (created_xid, seq)`, note: 'Writers wait until the index is there.' }];
  }
  const steps: PreparationStep[] = [];
  if (facts.half_made !== null) {
    const note = 'It was left behind half made by an earlier attempt.';
    steps.push({ sql: `DROP INDEX CONCURRENTLY ${facts.half_made}`, note, alone: true });
  }
  const note = 'Writers go on. It waits for transactions that are open now.';
  steps.push({ sql: `CREATE INDEX CONCURRENTLY ON ${table} (created_xid, seq)`, note, alone: true });
  return steps;
}

function publicationSteps(facts: Facts, options: PreparationOptions, table: string): PreparationStep[] {
  const name = quoteIdentifier(options.publication);
  const note = 'Rows that are inserted from here on are streamed.';
  const { publication, endpoints } = options;
  if (!facts.publication) return [{ sql: createPublicationSql(publication, options.table, endpoints), note }];
  const steps: PreparationStep[] = [];
  if (facts.partitioned && !facts.via_root) {
    const sql = `ALTER PUBLICATION ${name} SET (publish_via_partition_root = true)`;
    steps.push({ sql, note: 'Rows are named after the table, not after its partition.' });
  }
  if (!facts.published) steps.push({ sql: `ALTER PUBLICATION ${name} ADD TABLE ${table}`, note });
  if (!facts.changes_published && publishesEndpoints(options.table, endpoints)) {
    const sql = `ALTER PUBLICATION ${name} ADD TABLE ${ENDPOINT_CHANGES}`;
    steps.push({ sql, note: 'Changes of endpoints are streamed between the events.' });
  }
  if (!facts.inserts) steps.push({ sql: `ALTER PUBLICATION ${name} SET (publish = 'insert')`, note });
  return steps;
}

function rightSteps(
  facts: Facts,
  table: string,
  { schema, relay }: { schema: string; relay: string },
): PreparationStep[] {
  if (!facts.relay) return [];
  const steps: PreparationStep[] = [];
  if (!facts.relay_reads) {
    const sql = `GRANT USAGE ON SCHEMA ${schema} TO ${relay}; GRANT SELECT ON ${table} TO ${relay}`;
    steps.push({ sql, note: 'The relay reads it when it heals, replays and starts.' });
  }
  if (facts.row_security && !facts.relay_is_let) {
    const sql = facts.relay_policy
      ? `ALTER POLICY walpost_relay ON ${table} TO ${relay}`
      : `CREATE POLICY walpost_relay ON ${table} FOR SELECT TO ${relay} USING (true)`;
    steps.push({ sql, note: 'The relay works for all organizations, and must not miss a row.' });
  }
  return steps;
}
