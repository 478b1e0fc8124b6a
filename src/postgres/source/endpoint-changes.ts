/**
 * walpost.endpoint_changes, which tells the relay of customers' endpoints. The relay reads it from the stream, between the events, so
 * it has to be in the publication of the outbox, whichever table that is (sql/tables/021_endpoints.sql).
 */
import { WalpostError } from '../../errors.ts';
import { quoteIdentifier } from '../identifiers.ts';
import { OWN_TABLE } from '../own-table.ts';
import { ask } from '../queryable.ts';
import type { Queryable } from '../queryable.ts';

/** As schema.table; it is part of the publication, and no foreign table there. */
export const ENDPOINT_CHANGES = 'walpost.endpoint_changes';

/** The table of our own belongs to the same owner. One of the application's may not, so there it is asked for only when it is needed. */
export function publishesEndpoints(table: string, endpoints: boolean | undefined): boolean {
  return table === OWN_TABLE || endpoints === true;
}

const LOOK = `
  SELECT p.pubinsert AND EXISTS (
           SELECT FROM pg_publication_tables AS t
            WHERE t.pubname = p.pubname AND t.schemaname = 'walpost' AND t.tablename = 'endpoint_changes') AS published
    FROM pg_publication AS p WHERE p.pubname = $1`;

/** Throws when changes of endpoints are not streamed: they would just never arrive. Call it where a sink has endpoints. */
export async function checkEndpointPublication(db: Queryable, publication: string): Promise<void> {
  const [row] = await ask<{ published: boolean }>(db, LOOK, [publication]);
  if (row === undefined || row.published) return; // the check of the outbox says that there is none
  const name = quoteIdentifier(publication);
  throw new WalpostError('PUBLICATION_TABLE', {
    detail: `${name} does not hold ${ENDPOINT_CHANGES}, and a sink has endpoints: their changes would not be streamed.`,
    remedy: `As the owner of both: ALTER PUBLICATION ${name} ADD TABLE ${ENDPOINT_CHANGES};`,
  });
}
