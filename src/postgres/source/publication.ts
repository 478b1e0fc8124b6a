import { WalpostError } from '../../errors.ts';
import { databaseError } from '../database-error.ts';
import { quoteIdentifier, quoteQualified } from '../identifiers.ts';
import { SQLSTATE, isSqlState } from '../sqlstate.ts';
import { ask } from '../queryable.ts';
import type { Queryable } from '../queryable.ts';
import { ENDPOINT_CHANGES, publishesEndpoints } from './endpoint-changes.ts';

export interface PublicationOptions {
  readonly db: Queryable;
  readonly publication: string;
  /** As schema.table. */
  readonly table: string;
  /** A sink has endpoints. */
  readonly endpoints?: boolean;
}

/** The statement that makes the publication as walpost needs it; also the remedy where the role may not run it. */
export function createPublicationSql(publication: string, table: string, endpoints?: boolean): string {
  return (
    `CREATE PUBLICATION ${quoteIdentifier(publication)} FOR TABLE ${publishedTables(table, endpoints)} ` +
    `WITH (publish = 'insert', publish_via_partition_root = true)`
  );
}

/** What the publication of a table holds, as a list in SQL. */
export function publishedTables(table: string, endpoints?: boolean): string {
  return publishesEndpoints(table, endpoints) ? `${quoteQualified(table)}, ${ENDPOINT_CHANGES}` : quoteQualified(table);
}

/**
 * Makes the publication of a mapped table if it is missing. True when it was made. For walpost's own table this is no
 * way: its migrations make the publication, so a missing one there was dropped, and the events between then and now are
 * gone; that is for a person to know.
 */
export async function ensurePublication(options: PublicationOptions): Promise<boolean> {
  const { db, publication, table, endpoints } = options;
  const rows = await ask(db, 'SELECT 1 FROM pg_publication WHERE pubname = $1', [publication]);
  if (rows.length > 0) return false;
  const sql = createPublicationSql(publication, table, endpoints);
  try {
    await db.query(sql);
    return true;
  } catch (error) {
    if (isSqlState(error, SQLSTATE.duplicateObject)) return false;
    // The check of the table, which comes next, says more about it.
    if (isSqlState(error, SQLSTATE.undefinedTable, SQLSTATE.invalidSchemaName)) return false;
    if (!isSqlState(error, SQLSTATE.insufficientPrivilege)) throw databaseError(error);
    throw new WalpostError('PUBLICATION_MISSING', {
      detail: `It is "${publication}", and the role may not create it.`,
      remedy: `As the owner of the table: ${sql};`,
      cause: error,
    });
  }
}
