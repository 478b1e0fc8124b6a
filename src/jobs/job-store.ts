/** walpost.jobs as the leader uses it: every write is fenced by its epoch. */
import type pg from 'pg';
import type { CursorStore } from '../postgres/cursor/cursor-store.ts';
import { FENCE, writeFenced } from '../postgres/cursor/fence.ts';
import { SQLSTATE } from '../postgres/sqlstate.ts';
import { asciiText, stateOf } from '../postgres/storable.ts';
import { adoptAwaited } from '../postgres/source/completeness.ts';
import { inTransaction } from '../postgres/transaction.ts';
import type { Job } from './job.ts';
import { JOB_COLUMNS, type JobRow, toJob } from './job-rows.ts';
import type { ScanProgress } from './scan.ts';

const FENCED = `WITH fence AS (${FENCE}),`;
const OWNED = '(SELECT count(*)::integer FROM fence) AS owned';

/** The job that was begun goes on, then the oldest that waits. Healing is not among them: it runs before the stream. */
const TAKE = `
  ${FENCED}
  next AS (
    SELECT j.id FROM walpost.jobs AS j, fence
     WHERE j.slot = fence.slot AND j.state IN ('queued', 'running') AND j.kind <> 'heal'
     ORDER BY j.state DESC, j.id LIMIT 1
  ),
  taken AS (
    UPDATE walpost.jobs AS j SET state = 'running', started_at = coalesce(started_at, clock_timestamp())
      FROM next WHERE j.id = next.id AND j.state IN ('queued', 'running') RETURNING j.*
  )
  SELECT ${OWNED}, ${JOB_COLUMNS} FROM (SELECT) AS always LEFT JOIN taken ON true`;

/** From the beginning, however far an earlier try had come. */
const BEGIN = `
  ${FENCED}
  begun AS (
    UPDATE walpost.jobs AS j
       SET state = 'running', started_at = coalesce(started_at, clock_timestamp()), scanned = 0, settled = 0,
           sent = '{}', unrouted = 0,
           place_xid = NULL, place_seq = NULL
      FROM fence WHERE j.id = $3 AND j.slot = fence.slot AND j.state IN ('queued', 'running') RETURNING j.id
  )
  SELECT ${OWNED}, (SELECT count(*)::integer FROM begun) AS saved`;

const SAVE = `
  ${FENCED}
  saved AS (
    UPDATE walpost.jobs AS j
       SET place_xid = $4::xid8, place_seq = $5::bigint, scanned = scanned + $6, settled = settled + $7,
           unrouted = unrouted + $8,
           sent = (SELECT coalesce(jsonb_object_agg(sink, events), '{}')
                     FROM (SELECT sink, sum(events::bigint) AS events
                             FROM (SELECT * FROM jsonb_each_text(j.sent) UNION ALL SELECT * FROM jsonb_each_text($9::jsonb)) AS all_of (sink, events)
                            GROUP BY sink) AS total),
           saved_at = clock_timestamp()
      FROM fence WHERE j.id = $3 AND j.slot = fence.slot AND j.state = 'running' RETURNING j.id
  )
  SELECT ${OWNED}, (SELECT count(*)::integer FROM saved) AS saved`;

const END = `
  ${FENCED}
  ended AS (
    UPDATE walpost.jobs AS j SET state = $4, report = $5::jsonb, error = $6, ended_at = clock_timestamp()
      FROM fence WHERE j.id = $3 AND j.slot = fence.slot AND j.state IN ('queued', 'running') RETURNING j.id
  )
  SELECT ${OWNED}, (SELECT count(*)::integer FROM ended) AS saved`;

/** Jobs that name rows by snapshots and transactions of a history that has ended. */
const END_REPLAYS = `
  ${FENCED}
  ended AS (
    UPDATE walpost.jobs AS j SET state = 'failed', error = $3, ended_at = clock_timestamp()
      FROM fence WHERE j.slot = fence.slot AND j.kind = 'replay' AND j.state IN ('queued', 'running') RETURNING j.id
  )
  SELECT ${OWNED}, (SELECT count(*)::integer FROM ended) AS saved`;

interface Answer {
  readonly saved: number;
}

export type JobEnd =
  | { readonly state: 'done'; readonly report: Readonly<Record<string, unknown>> }
  | { readonly state: 'failed'; readonly error: string };

export class JobStore {
  private readonly pool: pg.Pool;
  private readonly cursor: CursorStore;

  constructor(pool: pg.Pool, cursor: CursorStore) {
    this.pool = pool;
    this.cursor = cursor;
  }

  /** The job to run now; undefined when there is none. */
  async take(): Promise<Job | undefined> {
    const row = await this.ask<JobRow>(TAKE, []);
    return row.id === null ? undefined : toJob(row);
  }

  /** Begins the job, from its first row. False when it is over. */
  async begin(id: string): Promise<boolean> {
    return (await this.ask<Answer>(BEGIN, [id])).saved === 1;
  }

  /** Saves how far the job has come. False when it was cancelled meanwhile. */
  async save(id: string, progress: ScanProgress, client?: pg.ClientBase): Promise<boolean> {
    const { place, scanned, settled, unrouted, sent } = progress;
    const counts = [scanned, settled, unrouted, JSON.stringify(sent)];
    const row = await this.ask<Answer>(SAVE, [id, place?.xid ?? null, place?.seq ?? null, ...counts], client);
    return row.saved === 1;
  }

  /** Closes the job; pass the connection of the transaction that makes it true. False when it was over already. */
  async end(id: string, end: JobEnd, client?: pg.ClientBase): Promise<boolean> {
    const report = end.state === 'done' ? JSON.stringify(end.report) : null;
    const save = async (error: string | null): Promise<boolean> =>
      (await this.ask<Answer>(END, [id, end.state, report, error], client)).saved === 1;
    if (end.state !== 'failed') return save(null);
    try {
      return await save(end.error);
    } catch (error) {
      if (client || stateOf(error) !== SQLSTATE.untranslatableCharacter) throw error;
      return save(asciiText(end.error));
    }
  }

  /** Another history has begun: a replay that was requested in the previous one would leave out rows that were never sent. */
  async endReplays(error: string, client: pg.ClientBase): Promise<void> {
    await this.ask<Answer>(END_REPLAYS, [error], client);
  }

  /** Ends a job that has sent everything. A cursor that waits for it counts as complete then. False when it was cancelled meanwhile. */
  finish(job: Job, report: Readonly<Record<string, unknown>>): Promise<boolean> {
    return inTransaction(this.pool, async (client) => {
      if (!(await this.end(job.id, { state: 'done', report }, client))) return false;
      await adoptAwaited(client, this.cursor.slot, job.id);
      return true;
    });
  }

  private ask<R extends object>(sql: string, values: readonly unknown[], client: pg.ClientBase | pg.Pool = this.pool) {
    return writeFenced<R>(client, this.cursor, { what: 'writing a job', sql, values });
  }
}
