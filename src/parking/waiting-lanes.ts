/** Which lanes wait, and for what, as the database has it: the same with and without a process. */
import type pg from 'pg';
import type { WaitingLane, WaitingLanes } from '../observe/status-report.ts';
import { rfc3339Sql } from '../pg-time.ts';
import { databaseError } from '../postgres/database-error.ts';

const SHOWN = 20;
/** Rows of walpost.parked that are looked at for lanes that do not fail, and counted for one lane. */
const ROWS_READ = 10_000;

const SAME_LANE = '(slot, sink, organization_id, lane) = ($1, s.sink, s.organization_id, s.lane)';
const READ = `
  WITH candidate AS (
    SELECT sink, organization_id, lane, coalesce(failing_since, paused_at) AS since FROM walpost.lanes WHERE slot = $1 AND organization_id <> ''
    UNION ALL
    SELECT sink, organization_id, lane, stored_at FROM walpost.dead_letters WHERE slot = $1 AND blocks
    UNION ALL
    SELECT * FROM (SELECT sink, organization_id, lane, parked_at FROM walpost.parked WHERE slot = $1 ORDER BY id LIMIT $2) AS oldest
  ), waiting AS (
    SELECT sink, organization_id, lane, min(since) AS since FROM candidate GROUP BY 1, 2, 3
  ), s AS (
    SELECT *, (count(*) OVER ())::integer AS total FROM waiting ORDER BY since, sink, organization_id, lane LIMIT ${SHOWN}
  )
  SELECT s.sink, s.organization_id, s.lane, s.total, ${rfc3339Sql('s.since')} AS since, l.state, l.attempts, l.code, l.reason,
         ${rfc3339Sql('l.next_try_at')} AS next_try_at, w.paused_by, w.paused IS NOT NULL AS paused,
         (SELECT count(*)::integer FROM (SELECT FROM walpost.parked WHERE ${SAME_LANE} LIMIT $2) AS c) AS parked,
         (SELECT min(id)::text FROM walpost.dead_letters WHERE ${SAME_LANE} AND blocks) AS letter
    FROM s LEFT JOIN walpost.lanes AS l
         ON (l.slot, l.sink, l.organization_id, l.lane) = ($1, s.sink, s.organization_id, s.lane)
         LEFT JOIN LATERAL (
           SELECT p.paused_by, true AS paused FROM walpost.lanes AS p
            WHERE (p.slot, p.sink, p.lane) = ($1, s.sink, '') AND p.organization_id IN (s.organization_id, '') AND p.paused_at IS NOT NULL
            ORDER BY p.organization_id DESC LIMIT 1) AS w ON true
   ORDER BY s.since, s.sink, s.organization_id, s.lane`;

interface WaitingRow {
  readonly sink: string;
  readonly organization_id: string;
  readonly lane: string;
  readonly total: number;
  readonly since: string;
  readonly state: string | null;
  readonly attempts: number | null;
  readonly code: string | null;
  readonly reason: string | null;
  readonly next_try_at: string | null;
  readonly paused_by: string | null;
  readonly paused: boolean;
  readonly parked: number;
  readonly letter: string | null;
}

export interface WaitingContext {
  /** Some relay streams from the slot. */
  readonly isStreamed: boolean;
  /** The job that runs, by name; null when none does. */
  readonly job: string | null;
}

export async function readWaitingLanes(pool: pg.Pool, slot: string, context: WaitingContext): Promise<WaitingLanes> {
  try {
    const { rows } = await pool.query<WaitingRow & object>(READ, [slot, ROWS_READ]);
    return { total: rows[0]?.total ?? 0, first: rows.map((row) => laneOf(row, context)) };
  } catch (error) {
    throw databaseError(error, 'reading which lanes wait');
  }
}

function laneOf(row: WaitingRow, context: WaitingContext): WaitingLane {
  return {
    sink: row.sink,
    organizationId: row.organization_id,
    lane: row.lane,
    since: row.since,
    parked: row.parked,
    state: row.state,
    attempts: row.attempts,
    code: row.code,
    reason: row.reason,
    nextTryAt: row.next_try_at,
    waitsFor: waitsFor(row, context),
  };
}

function waitsFor(row: WaitingRow, { isStreamed, job }: WaitingContext): string {
  if (row.paused) return `a person: ${row.paused_by ?? 'somebody'} has paused it`;
  if (row.letter !== null) return `a person: dead letter ${row.letter} blocks it`;
  if (!isStreamed) return 'a relay: none streams from the slot';
  if (row.next_try_at !== null) return 'its next try';
  if (row.state !== null) return 'the answer to the try under way';
  return job === null ? 'its turn' : `its turn, or for ${job}`;
}
