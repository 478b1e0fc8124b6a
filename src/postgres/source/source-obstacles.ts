/**
 * What keeps rows of the source table out of the stream, or out of what the stream is compared with, though the table is
 * there and published. None of it gives an error in Postgres. Each is refused with the statement that takes it away.
 */
import { WalpostError } from '../../errors.ts';
import { quoteIdentifier, quoteQualified } from '../identifiers.ts';
import { ask } from '../queryable.ts';
import { ENDPOINT_CHANGES } from './endpoint-changes.ts';
import { publishedTables } from './publication.ts';
import type { Queryable } from '../queryable.ts';

export interface ObstacleOptions {
  readonly db: Queryable;
  readonly publication: string;
  /** As schema.table. */
  readonly table: string;
  /** Columns that events are made of. */
  readonly columns: readonly string[];
  /** Who reads it. */
  readonly plugin: 'pgoutput' | 'wal2json';
  readonly slot: string;
  /** expected: a row filter is no obstacle. */
  readonly rowFilter?: 'refuse' | 'expected';
}

type Kind = 'partitions' | 'foreign' | 'child' | 'rule' | 'subscription' | 'filter' | 'generated';

/** What else is in the publication. */
interface Members {
  /** No other table; that of the endpoints counts as none. */
  readonly alone: boolean;
  /** That of the endpoints. */
  readonly changes: boolean;
}

interface Obstacle extends Members {
  readonly kind: Kind;
  /** The name of what is in the way, quoted where it has to be. */
  readonly object: string;
  readonly version: number;
}

/** Of the publication p, as columns. */
export const MEMBERS = `
  (SELECT count(*) FROM pg_publication_rel AS m WHERE m.prpubid = p.oid AND m.prrelid IS DISTINCT FROM to_regclass('${ENDPOINT_CHANGES}')) <= 1 AS alone,
  EXISTS (SELECT FROM pg_publication_rel AS m WHERE m.prpubid = p.oid AND m.prrelid = to_regclass('${ENDPOINT_CHANGES}')) AS changes`;

/**
 * Rows of an inheritance child are rows of the table for a SELECT, and rows of the child in the stream. Rows that a
 * subscription writes have the transaction numbers of the other cluster, by which healing, replay and prune would go wrong.
 */
const OBSTACLES = `
  WITH source AS (
    SELECT c.oid, c.relkind FROM pg_class AS c WHERE c.oid = $1
  ), tree AS (
    SELECT oid FROM source UNION SELECT relid FROM pg_partition_tree($1)
  ), found (rank, kind, object) AS (
    SELECT 1, 'partitions', s.oid::regclass::text FROM source AS s WHERE s.relkind = 'p' AND $4 = 'wal2json'
     UNION ALL
    SELECT 2, 'foreign', l.oid::regclass::text FROM tree JOIN pg_class AS l USING (oid) WHERE l.relkind = 'f'
     UNION ALL
    SELECT 3, 'child', i.inhrelid::regclass::text
      FROM source AS s JOIN pg_inherits AS i ON i.inhparent = s.oid WHERE s.relkind = 'r'
     UNION ALL
    SELECT 4, 'rule', quote_ident(r.rulename)
      FROM source AS s JOIN pg_rewrite AS r ON r.ev_class = s.oid
     WHERE r.ev_type = '3' AND r.is_instead AND r.ev_enabled IN ('O', 'A')
     UNION ALL
    SELECT 5, 'subscription', quote_ident(u.subname)
      FROM tree JOIN pg_subscription_rel AS m ON m.srrelid = tree.oid JOIN pg_subscription AS u ON u.oid = m.srsubid
     WHERE EXISTS (SELECT FROM pg_attribute AS a WHERE a.attrelid = $1 AND a.attname = 'created_xid' AND NOT a.attisdropped)
     UNION ALL
    SELECT 6, 'filter', pg_get_expr(m.prqual, m.prrelid)
      FROM pg_publication AS p JOIN pg_publication_rel AS m ON m.prpubid = p.oid
     WHERE p.pubname = $3 AND m.prqual IS NOT NULL AND $5 <> 'expected'
       AND (m.prrelid = $1 OR m.prrelid IN (SELECT relid FROM pg_partition_ancestors($1)))
     UNION ALL
    SELECT 7, 'generated', quote_ident(a.attname)
      FROM pg_publication AS p, pg_attribute AS a
     WHERE p.pubname = $3 AND a.attrelid = $1 AND a.attname = ANY ($2) AND a.attgenerated <> ''
       AND NOT (a.attgenerated = 's' AND ($4 = 'wal2json' OR coalesce(to_jsonb(p) ->> 'pubgencols', '') = 's' OR (to_jsonb(p) ? 'pubgencols'
                AND EXISTS (SELECT FROM pg_publication_rel AS m WHERE m.prpubid = p.oid AND m.prrelid = $1
                               AND a.attnum = ANY (m.prattrs::int2[])))))
  )
  SELECT kind, object, current_setting('server_version_num')::int AS version,
         ${MEMBERS}
    FROM found LEFT JOIN pg_publication AS p ON p.pubname = $3 ORDER BY rank, object LIMIT 1`;

/** `tableId` is the number of the table. */
export async function refuseObstacles(options: ObstacleOptions, tableId: number): Promise<void> {
  const { db, publication, columns, plugin, rowFilter = 'refuse' } = options;
  const [found] = await ask<Obstacle>(db, OBSTACLES, [tableId, columns, publication, plugin, rowFilter]);
  if (found) throw REFUSALS[found.kind](found, options);
}

type Refusal = (found: Obstacle, options: ObstacleOptions) => WalpostError;

const diverted = (detail: string, remedy: string): WalpostError =>
  new WalpostError('SOURCE_DIVERTED', { detail, remedy });

const REFUSALS: Readonly<Record<Kind, Refusal>> = {
  partitions: (_found, { table, slot }) =>
    new WalpostError('PLUGIN_PARTITIONS', {
      detail: `The table is ${table}.`,
      remedy:
        `Set source.plugin to pgoutput, then SELECT pg_drop_replication_slot('${slot}') if there is that slot; the next ` +
        'start makes it anew and reads from the table what it had not sent.',
    }),
  foreign: ({ object }, { table }) =>
    diverted(
      `${object} is a foreign table, and a partition of ${table}: what is written to it is in no WAL of this server.`,
      `ALTER TABLE ${quoteQualified(table)} DETACH PARTITION ${object};`,
    ),
  child: ({ object }, { table }) =>
    diverted(
      `${object} inherits from ${table}, and its rows are streamed as rows of ${object}.`,
      `ALTER TABLE ${object} NO INHERIT ${quoteQualified(table)}; make partitions instead.`,
    ),
  rule: ({ object }, { table }) =>
    diverted(
      `The rule ${object} does something else INSTEAD of an insert into ${table}.`,
      `DROP RULE ${object} ON ${quoteQualified(table)};`,
    ),
  subscription: ({ object }, { table }) =>
    diverted(
      `The subscription ${object} writes ${table}, with the transaction numbers (created_xid) of another server.`,
      `Take the table out of the publication on that server, then ALTER SUBSCRIPTION ${object} REFRESH PUBLICATION; ` +
        'and run walpost on the server where the rows are written.',
    ),
  filter: ({ object, alone, changes }, options) =>
    new WalpostError('PUBLICATION_TABLE', {
      detail: `${quoteIdentifier(options.publication)} has a row filter on ${options.table}: ${object}.`,
      remedy: `${publishWholeTable(options, { alone, changes })} Where it is meant: source.row_filter: expected.`,
    }),
  generated: ({ object, version }, { publication, table }) =>
    new WalpostError('PUBLICATION_TABLE', {
      detail: `The column ${object} of ${table} is generated, and its values are not published.`,
      remedy:
        version >= 180_000
          ? `ALTER PUBLICATION ${quoteIdentifier(publication)} SET (publish_generated_columns = stored); a virtual column has ` +
            'no values to publish: name another one in source.columns.'
          : `ALTER TABLE ${quoteQualified(table)} ALTER COLUMN ${object} DROP EXPRESSION; and write the column in a trigger ` +
            'BEFORE INSERT, or name another one in source.columns.',
    }),
};

/** The statement that publishes the table with all rows and columns, and leaves other tables of the publication alone. */
export function publishWholeTable(
  { publication, table }: Pick<ObstacleOptions, 'publication' | 'table'>,
  { alone, changes }: Members,
): string {
  const alter = `ALTER PUBLICATION ${quoteIdentifier(publication)}`;
  const name = quoteQualified(table);
  return alone
    ? `${alter} SET TABLE ${publishedTables(table, changes)};`
    : `${alter} DROP TABLE ${name}; ${alter} ADD TABLE ${name};`;
}
