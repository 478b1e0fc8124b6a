/**
 * From a position or a time to rows.
 *
 * The live slot cannot be rewound: Postgres starts a stream that asks for an older position at the confirmed one, without
 * a word. So a replay reads the outbox. It takes the rows that the last settled checkpoint at or below X does not see: all
 * that this checkpoint sees was committed before its position, so whatever was committed at X or later is among the rest,
 * with some that is older. The end is as careful: a transaction is left out only when it began after the end.
 */
import type pg from 'pg';
import { WalpostError } from '../errors.ts';
import { formatLsn, type Lsn, parseLsn } from '../lsn.ts';
import {
  type Checkpoint,
  firstXidAfter,
  lastSettledBefore,
  type ReplayPoint,
  newestSettled,
  oldestSettled,
} from '../postgres/cursor/checkpoint-lookup.ts';
import { readCursor } from '../postgres/cursor/cursor-store.ts';
import { databaseError } from '../postgres/database-error.ts';
import type { JobRange } from './job.ts';

export interface ReplayPlan {
  readonly range: JobRange;
  /** Where it really begins: at or below what was requested. Null when it takes all rows. */
  readonly from: Checkpoint | null;
  /** The oldest and the newest place where a replay may begin; null when there is none yet. */
  readonly between: { readonly oldest: Checkpoint; readonly newest: Checkpoint } | null;
}

export interface ReplayWindow {
  readonly slot: string;
  /** `everything`: all rows that there are, so no checkpoint is needed. */
  readonly from: ReplayPoint | 'everything';
  /** Until now when it is left out. */
  readonly to?: ReplayPoint | undefined;
}

/** Throws REPLAY_RANGE, with the oldest position that works, when there is no such checkpoint. */
export async function planReplay(pool: pg.Pool, { slot, from: wanted, to }: ReplayWindow): Promise<ReplayPlan> {
  const { systemIdentifier, nextXid, end } = await readServer(pool);
  const cursor = await readCursor(pool, slot);
  if (!cursor) {
    const remedy = 'Start `walpost run`: its first start delivers the rows that are there.';
    throw refusal(`No relay has run with slot "${slot}" yet.`, remedy);
  }
  if (cursor.systemIdentifier !== systemIdentifier) {
    throw refusal('The database was restored into another cluster, and no relay has run since.');
  }
  const scope = { slot, systemIdentifier };
  const [oldest, newest] = await Promise.all([oldestSettled(pool, scope), newestSettled(pool, scope)]);
  const between = oldest && newest ? { oldest, newest } : null;
  const beforeXid = (to && (await firstXidAfter(pool, scope, to))) ?? nextXid;
  if (wanted === 'everything') {
    return { range: { fromLsn: null, afterSnapshot: null, beforeXid }, from: null, between };
  }
  if (!between) throw refusal(`Slot "${slot}" has no settled checkpoint yet; the first comes within seconds.`);
  if ('lsn' in wanted && wanted.lsn > end) throw tooNew(wanted.lsn, end, between.newest);
  const from = await lastSettledBefore(pool, scope, wanted);
  if (!from) throw tooOld(wanted, between.oldest);
  const fromLsn = 'lsn' in wanted ? wanted.lsn : from.lsn;
  return { range: { fromLsn, afterSnapshot: from.snapshot, beforeXid }, from, between };
}

interface ServerFacts {
  readonly systemIdentifier: string;
  readonly nextXid: string;
  /** Of what is written. */
  readonly end: Lsn;
}

async function readServer(pool: pg.Pool): Promise<ServerFacts> {
  try {
    const { rows } = await pool.query<{ systemIdentifier: string; nextXid: string; end: string }>(
      `SELECT system_identifier::text AS "systemIdentifier", pg_snapshot_xmax(pg_current_snapshot())::text AS "nextXid",
              CASE WHEN pg_is_in_recovery() THEN pg_last_wal_replay_lsn() ELSE pg_current_wal_lsn() END::text AS "end"
         FROM pg_control_system()`,
    );
    const { systemIdentifier = '', nextXid = '0', end = '' } = rows[0] ?? {};
    return { systemIdentifier, nextXid, end: parseLsn(end) ?? 0n };
  } catch (error) {
    throw databaseError(error, 'looking at the server');
  }
}

function tooOld(wanted: ReplayPoint, oldest: Checkpoint): WalpostError {
  const place = 'lsn' in wanted ? formatLsn(wanted.lsn) : wanted.time.toISOString();
  const oldestLsn = formatLsn(oldest.lsn);
  return refusal(
    `${place} is older than the oldest checkpoint, which is ${oldestLsn} of ${oldest.takenAt}: ` +
      'what was committed before it cannot be told apart, and the live slot cannot go back, since the server ' +
      'would start at the confirmed position without a word.',
    `Use --from-lsn ${oldestLsn}, or a later one; or --all, for every row that there is.`,
  );
}

function tooNew(wanted: Lsn, end: Lsn, newest: Checkpoint): WalpostError {
  return refusal(
    `${formatLsn(wanted)} is after the end of the log, which is ${formatLsn(end)} now: nothing was committed there yet.`,
    `Use --from-lsn ${formatLsn(newest.lsn)}, the newest checkpoint, or an earlier position.`,
  );
}

function refusal(detail: string, remedy?: string): WalpostError {
  return new WalpostError('REPLAY_RANGE', { detail, ...(remedy === undefined ? {} : { remedy }) });
}
