/**
 * Whether the stream has brought what an endpoint is now. A job for single endpoints is asked for when its endpoint has been
 * enabled. Until that change has come, the endpoint is not there for the relay, and the job would pass over it.
 */
import type pg from 'pg';
import { databaseError } from '../postgres/database-error.ts';

/** Lanes of other kinds have no changes. */
const ARRIVED = `
  SELECT NOT EXISTS (
    SELECT FROM unnest($2::text[]) AS l (lane)
           CROSS JOIN LATERAL (SELECT max(c.change_id) AS id FROM walpost.endpoint_changes AS c
                                WHERE c.endpoint_id = walpost_internal.uuid_or_null(l.lane)) AS newest
     WHERE newest.id IS NOT NULL
       AND NOT EXISTS (SELECT FROM walpost.endpoint_positions AS p WHERE (p.slot, p.change_id) = ($1, newest.id))) AS arrived`;

/** True when the slot has brought the newest change of each of these endpoints. */
export async function changesArrived(
  db: Pick<pg.Pool, 'query'>,
  slot: string,
  endpoints: readonly string[],
): Promise<boolean> {
  if (endpoints.length === 0) return true;
  try {
    const { rows } = await db.query<{ arrived: boolean }>(ARRIVED, [slot, endpoints]);
    return rows[0]?.arrived === true;
  } catch (error) {
    throw databaseError(error, 'looking whether changes of endpoints have arrived');
  }
}
