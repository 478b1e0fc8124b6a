/**
 * Lanes that an operator wants to be tried now, as rows of walpost.retry_requests: any role may notify the leader, and only
 * who may write these rows can make it send something earlier than the destination asked for.
 */
import type pg from 'pg';
import type { LaneName } from '../pipeline.ts';
import type { CursorStore } from '../postgres/cursor/cursor-store.ts';
import { FENCE } from '../postgres/cursor/fence.ts';
import { databaseError } from '../postgres/database-error.ts';

/** Channel on which the leader hears that it should look at what operators change. */
export const WAKE_CHANNEL = 'walpost_wake';

/** SQL that asks for the lanes of a query with the columns sink, organization_id and lane; slot is $1. */
export const askForRetry = (lanes: string): string =>
  `INSERT INTO walpost.retry_requests (slot, sink, organization_id, lane)
     SELECT $1, l.sink, l.organization_id, l.lane FROM (${lanes}) AS l`;

const WAITING = 'SELECT FROM walpost.retry_requests WHERE slot = $1 LIMIT 1';
const TAKE = `
  WITH fence AS (${FENCE})
  DELETE FROM walpost.retry_requests WHERE slot = $1 AND EXISTS (SELECT FROM fence)
  RETURNING sink, organization_id AS "organizationId", lane`;

/** The lanes that are asked for, each once; the requests are gone with that. */
export async function takeRetryRequests(pool: pg.Pool, { slot, epoch }: CursorStore): Promise<readonly LaneName[]> {
  try {
    const { rowCount } = await pool.query(WAITING, [slot]);
    if (rowCount === 0) return [];
    const { rows } = await pool.query<LaneName & pg.QueryResultRow>(TAKE, [slot, epoch]);
    return [...new Map(rows.map((row) => [JSON.stringify([row.sink, row.organizationId, row.lane]), row])).values()];
  } catch (error) {
    throw databaseError(error, 'reading what operators ask for');
  }
}
