/**
 * The leader's fence. Every write of a leader holds the row of FENCE in the same statement, so that a leader whose epoch has
 * ended changes nothing, whenever it wakes up.
 */
import type pg from 'pg';
import type { WalpostError } from '../../errors.ts';
import { databaseError } from '../database-error.ts';

/**
 * One row while the epoch ($2) of the slot ($1) is ours. The lock makes the next claim wait until the writes of this statement
 * are committed, and lets the position advance meanwhile.
 */
export const FENCE =
  'SELECT slot, epoch, system_identifier FROM walpost.cursor WHERE slot = $1 AND epoch = $2 FOR KEY SHARE';

/** The last line of a statement that begins with `WITH fence AS (FENCE)` and returns nothing else. */
export const OWNED = 'SELECT count(*)::integer AS owned FROM fence';

/** Who writes: a claimed cursor. */
export interface EpochHolder {
  readonly slot: string;
  readonly epoch: bigint;
  lost(): WalpostError;
}

export interface FencedWrite {
  /** For the error, such as `storing dead letters`. */
  readonly what: string;
  /** $1 and $2 are slot and epoch; its one row says in `owned` whether the fence held. */
  readonly sql: string;
  readonly values: readonly unknown[];
}

/** Runs the statement and returns its row; throws LEADERSHIP_LOST when the epoch has ended. */
export async function writeFenced<R extends object>(
  client: pg.ClientBase | pg.Pool,
  holder: EpochHolder,
  { what, sql, values }: FencedWrite,
): Promise<R> {
  let row: (R & { readonly owned: number }) | undefined;
  try {
    row = (await client.query<R & { readonly owned: number }>(sql, [holder.slot, holder.epoch, ...values])).rows[0];
  } catch (error) {
    throw databaseError(error, what);
  }
  if (row?.owned !== 1) throw holder.lost();
  return row;
}
