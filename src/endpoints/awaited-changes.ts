/**
 * Whether the stream has brought what an endpoint is now. A job for single endpoints is asked for when its endpoint has been
 * enabled. Until that change has come, the endpoint is not there for the relay, and the job would pass over it.
 */
import type pg from 'pg';
import { endpointState } from '../endpoint.ts';
import { databaseError } from '../postgres/database-error.ts';
import type { EndpointDirectory } from './directory.ts';

/** Lanes of other kinds have no changes. */
const NEWEST = `
  SELECT newest.*
    FROM unnest($1::text[]) AS l (lane)
         CROSS JOIN LATERAL (
           SELECT c.endpoint_id::text AS "endpointId", c.change_id::text AS "changeId", c.change, c.state
             FROM walpost.endpoint_changes AS c WHERE c.endpoint_id = walpost_internal.uuid_or_null(l.lane)
            ORDER BY c.change_id DESC LIMIT 1) AS newest`;

interface Row {
  readonly endpointId: string;
  readonly changeId: string;
  readonly change: string;
  readonly state: string;
}

/** True when the directory knows the newest change of each of these endpoints. Those that are gone are not waited for. */
export async function changesArrived(
  db: Pick<pg.Pool, 'query'>,
  directory: Pick<EndpointDirectory, 'find'>,
  endpoints: readonly string[],
): Promise<boolean> {
  if (endpoints.length === 0) return true;
  try {
    const { rows } = await db.query<Row>(NEWEST, [endpoints]);
    return rows.every(({ endpointId, changeId, change, state }) => {
      const now = endpointState(change, state);
      if (now === 'disabled' || now === 'removed') return true;
      return BigInt(directory.find(endpointId)?.changeId ?? 0) >= BigInt(changeId);
    });
  } catch (error) {
    throw databaseError(error, 'looking whether changes of endpoints have arrived');
  }
}
