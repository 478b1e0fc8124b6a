/** Calls walpost.prune (sql/functions/12_prune.sql) until it has nothing left to do: each call is a transaction of its own. */
import type pg from 'pg';
import { WalpostError } from '../../errors.ts';
import { databaseError } from '../database-error.ts';
import { isSqlState, SQLSTATE } from '../sqlstate.ts';

export interface PruneOptions {
  /** Milliseconds that a delivered event is kept. */
  readonly retention: number;
  /** Rows a transaction. */
  readonly batch: number;
  readonly signal?: AbortSignal;
  readonly onBatch?: (removed: number) => void;
}

/** Gives back how many rows were removed. */
export async function pruneAll(db: Pick<pg.Pool, 'query'>, options: PruneOptions): Promise<number> {
  let total = 0;
  while (!options.signal?.aborted) {
    const removed = await pruneOnce(db, options);
    if (removed === 0) break;
    total += removed;
    options.onBatch?.(total);
  }
  return total;
}

async function pruneOnce(db: Pick<pg.Pool, 'query'>, { retention, batch }: PruneOptions): Promise<number> {
  try {
    const { rows } = await db.query<{ removed: string }>(
      `SELECT walpost.prune(make_interval(secs => $1::float8 / 1000), $2) AS removed`,
      [retention, batch],
    );
    return Number(rows[0]?.removed ?? 0);
  } catch (error) {
    if (isSqlState(error, SQLSTATE.lockNotAvailable)) throw busy(error);
    throw databaseError(error, 'pruning');
  }
}

/** The server says who is in the way, and how to end it. */
function busy(cause: unknown): WalpostError {
  const { message: detail, hint: remedy } = cause as pg.DatabaseError;
  return new WalpostError('PRUNE_BUSY', { detail, cause, ...(remedy !== undefined && { remedy }) });
}
