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
import { formatLsn } from '../lsn.ts';
import {
  type Checkpoint,
  firstXidAfter,
  lastSettledBefore,
  type Moment,
  newestSettled,
  oldestSettled,
} from '../postgres/checkpoint-lookup.ts';
import { readCursor } from '../postgres/cursor-store.ts';
import { databaseError } from '../postgres/database-error.ts';
import type { JobRange } from './job.ts';

export interface ReplayPlan {
  readonly range: JobRange;
  /** Where it begins in truth: at or below what was asked for. */
  readonly from: Checkpoint;
  readonly oldest: Checkpoint;
  readonly newest: Checkpoint;
}

export interface ReplayWindow {
  readonly slot: string;
  readonly from: Moment;
  /** Until now when it is left out. */
  readonly to?: Moment | undefined;
}

/** Throws REPLAY_RANGE, with the oldest position that works, when there is no such checkpoint. */
export async function planReplay(pool: pg.Pool, { slot, from: asked, to }: ReplayWindow): Promise<ReplayPlan> {
  const { systemIdentifier, nextXid } = await readServer(pool);
  const cursor = await readCursor(pool, slot);
  if (!cursor) throw refusal(`No relay has run with slot "${slot}" yet.`);
  if (cursor.systemIdentifier !== systemIdentifier) {
    throw refusal('The database was restored into another cluster, and no relay has run since.');
  }
  const scope = { slot, systemIdentifier };
  const [oldest, newest] = await Promise.all([oldestSettled(pool, scope), newestSettled(pool, scope)]);
  if (!oldest || !newest)
    throw refusal(`Slot "${slot}" has no settled checkpoint yet; the first comes within seconds.`);
  const from = await lastSettledBefore(pool, scope, asked);
  if (!from) throw tooOld(asked, oldest);
  const beforeXid = (to && (await firstXidAfter(pool, scope, to))) ?? nextXid;
  const fromLsn = 'lsn' in asked ? asked.lsn : from.lsn;
  return { range: { fromLsn, afterSnapshot: from.snapshot, beforeXid }, from, oldest, newest };
}

async function readServer(pool: pg.Pool): Promise<{ systemIdentifier: string; nextXid: string }> {
  try {
    const { rows } = await pool.query<{ systemIdentifier: string; nextXid: string }>(
      `SELECT system_identifier::text AS "systemIdentifier", pg_snapshot_xmax(pg_current_snapshot())::text AS "nextXid"
         FROM pg_control_system()`,
    );
    return rows[0] ?? { systemIdentifier: '', nextXid: '0' };
  } catch (error) {
    throw databaseError(error, 'looking at the server');
  }
}

function tooOld(asked: Moment, oldest: Checkpoint): WalpostError {
  const place = 'lsn' in asked ? formatLsn(asked.lsn) : asked.time.toISOString();
  const oldestLsn = formatLsn(oldest.lsn);
  return refusal(
    `${place} is older than the oldest checkpoint, which is ${oldestLsn} of ${oldest.takenAt}: ` +
      'what was committed before it cannot be told apart, and the live slot cannot go back, since the server ' +
      'would start at the confirmed position without a word.',
    `Use --from-lsn ${oldestLsn}, or a later one.`,
  );
}

function refusal(detail: string, remedy?: string): WalpostError {
  return new WalpostError('REPLAY_RANGE', { detail, ...(remedy === undefined ? {} : { remedy }) });
}
