/**
 * What operators have paused, as rows of walpost.lanes. Operators write them, so the epoch of the leader does not guard them; the
 * leader leaves rows that are paused as they are. An empty organization stands for the whole sink.
 */
import type pg from 'pg';
import type { PausedSince } from '../observe/status-report.ts';
import { rfc3339Sql } from '../pg-time.ts';
import type { PausedPart } from '../pipeline.ts';
import { databaseError } from '../postgres/database-error.ts';
import { inTransaction } from '../postgres/transaction.ts';
import { WAKE_CHANNEL } from './retry-requests.ts';

const OWN = `l.sink, nullif(l.organization_id, '') AS "organizationId", l.paused_by AS "pausedBy",
             ${rfc3339Sql('l.paused_at')} AS "pausedAt", l.pause_reason AS reason`;
const READ = `SELECT ${OWN} FROM walpost.lanes AS l WHERE l.slot = $1 AND l.paused_at IS NOT NULL ORDER BY l.sink, l.organization_id`;

/** A row that fails becomes the row of the pause, which is of all lanes of the organization: what is paused does not fail. */
const PAUSE = `
  INSERT INTO walpost.lanes AS l (slot, sink, organization_id, state, paused_by, paused_at, pause_reason)
  VALUES ($1, $2, $3, 'paused', $4, clock_timestamp(), $5)
  ON CONFLICT (slot, sink, organization_id, lane) DO UPDATE
     SET state = excluded.state, paused_by = excluded.paused_by, paused_at = excluded.paused_at,
         pause_reason = excluded.pause_reason, failing_since = NULL, attempts = NULL, code = NULL, reason = NULL,
         answer = NULL, next_try_at = NULL
   WHERE l.paused_at IS NULL
  RETURNING l.sink`;
const RESUME = `DELETE FROM walpost.lanes AS l WHERE l.slot = $1 AND l.sink = $2 AND l.organization_id = $3 AND l.paused_at IS NOT NULL
                RETURNING ${OWN}`;
const FORGET_FAILING = `DELETE FROM walpost.lanes WHERE slot = $1 AND sink = $2 AND ($3::text IS NULL OR organization_id = $3) AND paused_at IS NULL`;
/** The leader looks without it too, a little later. */
const WAKE = 'SELECT pg_notify($1, $2) WHERE pg_notification_queue_usage() < 0.5';

export interface PauseRequest extends PausedPart {
  readonly slot: string;
  readonly by: string;
  readonly reason: string | null;
}

/** All that is paused, the sinks first. */
export async function readPauses(pool: pg.Pool | pg.ClientBase, slot: string): Promise<readonly PausedSince[]> {
  try {
    return (await pool.query<PausedSince & object>(READ, [slot])).rows;
  } catch (error) {
    throw databaseError(error, 'reading what is paused');
  }
}

/** True when it was not paused before; else it stays as it was. */
export async function storePause(pool: pg.Pool, request: PauseRequest): Promise<boolean> {
  const { slot, sink, organizationId, by, reason } = request;
  try {
    return await inTransaction(pool, async (client) => {
      const { rowCount } = await client.query(PAUSE, [slot, sink, organizationId ?? '', by, reason]);
      await client.query(FORGET_FAILING, [slot, sink, organizationId]);
      await client.query(WAKE, [WAKE_CHANNEL, slot]);
      return rowCount === 1;
    });
  } catch (error) {
    throw databaseError(error, 'pausing a sink');
  }
}

/** The pause that is over; undefined when there was none. */
export async function endStoredPause(
  pool: pg.Pool,
  { slot, sink, organizationId }: Pick<PauseRequest, 'slot' | keyof PausedPart>,
): Promise<PausedSince | undefined> {
  try {
    return await inTransaction(pool, async (client) => {
      const { rows } = await client.query<PausedSince & object>(RESUME, [slot, sink, organizationId ?? '']);
      await client.query(WAKE, [WAKE_CHANNEL, slot]);
      return rows[0];
    });
  } catch (error) {
    throw databaseError(error, 'resuming a sink');
  }
}
