/** walpost.jobs as anyone may use it: ask for a job, look at jobs, cancel one. */
import type pg from 'pg';
import { formatLsn, parseLsn } from '../lsn.ts';
import { rfc3339Sql } from '../pg-time.ts';
import { databaseError } from '../postgres/database-error.ts';
import type { Job, JobKind, JobRange, JobSpec, JobState } from './job.ts';

export type JobConnection = Pick<pg.Pool, 'query'>;

export interface JobRequest extends JobRange {
  readonly slot: string;
  readonly kind: JobKind;
  readonly reason: string | null;
  readonly spec: JobSpec;
}

export interface JobRow {
  readonly id: string;
  readonly slot: string;
  readonly kind: JobKind;
  readonly state: JobState;
  readonly reason: string | null;
  readonly spec: string;
  readonly from_lsn: string | null;
  readonly after_snapshot: string | null;
  readonly before_xid: string | null;
  readonly place_xid: string | null;
  readonly place_seq: string | null;
  readonly scanned: string;
  readonly settled: string;
  readonly sent: string;
  readonly unrouted: string;
  readonly report: string | null;
  readonly error: string | null;
  readonly requested_by: string;
  readonly created_at: string;
}

export const JOB_COLUMNS = `id::text, slot, kind, state, reason, spec::text, from_lsn::text, after_snapshot::text, before_xid::text,
  place_xid::text, place_seq::text, scanned::text, settled::text, sent::text, unrouted::text, report::text, error, requested_by,
  ${rfc3339Sql('created_at')} AS created_at`;

export function toJob(row: JobRow): Job {
  const { place_xid: xid, place_seq: seq } = row;
  return {
    id: row.id,
    slot: row.slot,
    kind: row.kind,
    state: row.state,
    reason: row.reason,
    spec: JSON.parse(row.spec) as JobSpec,
    fromLsn: row.from_lsn === null ? null : (parseLsn(row.from_lsn) ?? null),
    afterSnapshot: row.after_snapshot,
    beforeXid: row.before_xid,
    place: xid === null || seq === null ? null : { xid, seq },
    scanned: Number(row.scanned),
    settled: Number(row.settled),
    sent: JSON.parse(row.sent) as Job['sent'],
    unrouted: Number(row.unrouted),
    report: row.report,
    error: row.error,
    requestedBy: row.requested_by,
    createdAt: row.created_at,
  };
}

/** Asks the leader for a job; a trigger wakes it. */
export async function requestJob(db: JobConnection | pg.ClientBase, request: JobRequest): Promise<Job> {
  const { slot, kind, reason, spec, fromLsn, afterSnapshot, beforeXid } = request;
  const lsn = fromLsn === null ? null : formatLsn(fromLsn);
  const values = [slot, kind, reason, JSON.stringify(spec), lsn, afterSnapshot, beforeXid];
  const sql = `INSERT INTO walpost.jobs (slot, kind, reason, spec, from_lsn, after_snapshot, before_xid)
    VALUES ($1, $2, $3, $4, $5::pg_lsn, $6::pg_snapshot, $7::xid8) RETURNING ${JOB_COLUMNS}`;
  return one('asking for a job', await run(db, sql, values));
}

export async function readJob(db: JobConnection, id: string): Promise<Job | undefined> {
  const rows = await run(db, `SELECT ${JOB_COLUMNS} FROM walpost.jobs WHERE id = $1`, [id]);
  return rows[0] && toJob(rows[0]);
}

/** The newest first; of all slots without one. */
export async function listJobs(db: JobConnection, limit = 50): Promise<readonly Job[]> {
  return (await run(db, `SELECT ${JOB_COLUMNS} FROM walpost.jobs ORDER BY jobs.id DESC LIMIT $1`, [limit])).map(toJob);
}

export async function countJobs(db: JobConnection): Promise<number> {
  const { rows } = await db.query<{ count: number }>('SELECT count(*)::integer AS count FROM walpost.jobs');
  return rows[0]?.count ?? 0;
}

/** Those that are not over yet. */
export async function openJobs(db: JobConnection, slot: string): Promise<readonly Job[]> {
  const where = `slot = $1 AND state IN ('queued', 'running') ORDER BY jobs.id`;
  return (await run(db, `SELECT ${JOB_COLUMNS} FROM walpost.jobs WHERE ${where}`, [slot])).map(toJob);
}

/** False when it is over already, or is a healing, which cannot be cancelled. */
export async function cancelJob(db: JobConnection, id: string): Promise<boolean> {
  const rows = await run(
    db,
    `UPDATE walpost.jobs SET state = 'cancelled', ended_at = clock_timestamp()
      WHERE id = $1 AND state IN ('queued', 'running') AND kind <> 'heal' RETURNING ${JOB_COLUMNS}`,
    [id],
  );
  return rows.length > 0;
}

async function run(db: JobConnection | pg.ClientBase, sql: string, values: readonly unknown[]): Promise<JobRow[]> {
  try {
    return (await db.query<JobRow>(sql, [...values])).rows;
  } catch (error) {
    throw databaseError(error, 'reading or writing jobs');
  }
}

function one(what: string, rows: readonly JobRow[]): Job {
  if (!rows[0]) throw new Error(`${what} gave no row`);
  return toJob(rows[0]);
}
