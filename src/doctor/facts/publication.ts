/** What the publication holds beyond the new rows of the outbox. Whether it holds these is a check of every start. */
import { splitQualified } from '../../postgres/identifiers.ts';
import { ask, type Queryable } from '../../postgres/queryable.ts';

export interface PublicationExtent {
  /** Such as UPDATE; empty when it publishes inserts alone. */
  readonly operations: readonly string[];
  readonly allTables: boolean;
  /** Some of the other tables, quoted; that of the endpoints is none. */
  readonly others: readonly string[];
  /** Changes of endpoints are in it. */
  readonly endpoints: boolean;
}

const EXTENT = `
  SELECT array_remove(ARRAY[CASE WHEN p.pubupdate THEN 'UPDATE' END, CASE WHEN p.pubdelete THEN 'DELETE' END,
                            CASE WHEN p.pubtruncate THEN 'TRUNCATE' END], NULL)::text[] AS operations,
         p.puballtables OR EXISTS (SELECT FROM pg_publication_namespace AS s WHERE s.pnpubid = p.oid) AS "allTables",
         ARRAY(SELECT format('%I.%I', t.schemaname, t.tablename) FROM pg_publication_tables AS t
                WHERE t.pubname = p.pubname AND NOT (t.schemaname = $2 AND t.tablename = $3)
                  AND NOT (t.schemaname = 'walpost' AND t.tablename = 'endpoint_changes') ORDER BY 1 LIMIT 4)::text[] AS others,
         EXISTS (SELECT FROM pg_publication_tables AS t
                  WHERE t.pubname = p.pubname AND t.schemaname = 'walpost' AND t.tablename = 'endpoint_changes') AS endpoints
    FROM pg_publication AS p WHERE p.pubname = $1`;

/** Undefined when there is no such publication. */
export async function readPublicationExtent(
  db: Queryable,
  { publication, table }: { readonly publication: string; readonly table: string },
): Promise<PublicationExtent | undefined> {
  const [schema, name] = splitQualified(table);
  const [row] = await ask<PublicationExtent>(db, EXTENT, [publication, schema, name]);
  return row;
}
