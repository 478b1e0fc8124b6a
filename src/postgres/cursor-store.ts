/**
 * The cursor row of a slot, and with it the right to write.
 *
 * Who claims the row gets the next epoch. Every later write of that owner, here and wherever FENCE is used, happens only
 * while the row still has that epoch; an owner that was paused, or cut off, and wakes up after another has claimed,
 * gets LEADERSHIP_LOST and has changed nothing.
 *
 * The position never moves back. After a restart the stream may begin before it, since the row is committed before the
 * slot is told; then advancing changes nothing until the stream has caught up.
 */
import type pg from 'pg';
import { WalpostError } from '../errors.ts';
import { type Lsn, formatLsn, parseLsn } from '../lsn.ts';
import { databaseError } from './database-error.ts';
import { inTransaction } from './transaction.ts';

/** A cluster and its history: positions of different ones must not be compared. */
export interface ClusterIdentity {
  readonly systemIdentifier: string;
  readonly timeline: number;
}

export interface CursorClaim extends ClusterIdentity {
  readonly slot: string;
}

/** The row as it is. */
export interface Cursor extends ClusterIdentity {
  readonly epoch: bigint;
  readonly lsn: Lsn | null;
}

/**
 * One row while the epoch ($2) of the slot ($1) is ours. The lock makes the next claim wait until what is written with
 * it has been committed, and lets the position advance meanwhile.
 */
export const FENCE =
  'SELECT slot, epoch, system_identifier FROM walpost.cursor WHERE slot = $1 AND epoch = $2 FOR KEY SHARE';

interface CursorRow {
  epoch: string;
  lsn: string | null;
  system_identifier: string;
  timeline: number;
}

const COLUMNS = 'epoch::text, lsn::text, system_identifier, timeline';

const toCursor = (row: CursorRow): Cursor => ({
  epoch: BigInt(row.epoch),
  lsn: row.lsn === null ? null : (parseLsn(row.lsn) ?? null),
  systemIdentifier: row.system_identifier,
  timeline: row.timeline,
});

/** Reads the cursor of a slot without claiming it. */
export async function readCursor(pool: pg.Pool, slot: string): Promise<Cursor | undefined> {
  try {
    const { rows } = await pool.query<CursorRow>(`SELECT ${COLUMNS} FROM walpost.cursor WHERE slot = $1`, [slot]);
    return rows[0] && toCursor(rows[0]);
  } catch (error) {
    throw databaseError(error, 'reading the cursor');
  }
}

export class CursorStore {
  readonly slot: string;
  readonly epoch: bigint;
  /** Where the cursor stood when it was claimed. */
  readonly lsn: Lsn | null;
  /** The cluster that `lsn` belongs to; null at the very first claim. When it is another one, nothing is proven. */
  readonly recorded: ClusterIdentity | null;
  private readonly pool: pg.Pool;

  private constructor(pool: pg.Pool, slot: string, claimed: { cursor: Cursor; first: boolean }) {
    const { epoch, lsn, systemIdentifier, timeline } = claimed.cursor;
    this.pool = pool;
    this.slot = slot;
    this.epoch = epoch;
    this.lsn = lsn;
    this.recorded = claimed.first ? null : { systemIdentifier, timeline };
  }

  /**
   * Takes over the slot: from here on every other owner's writes are refused. Leaves the recorded cluster as it is.
   * `onSession` is told which server process may have to wait for an owner's open transaction.
   */
  static async claim(pool: pg.Pool, claim: CursorClaim, onSession?: (pid: number) => void): Promise<CursorStore> {
    const { slot, systemIdentifier, timeline } = claim;
    try {
      const claimed = await inTransaction(pool, async (client) => {
        const session = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
        onSession?.(session.rows[0]?.pid ?? 0);
        const inserted = await client.query(
          `INSERT INTO walpost.cursor (slot, system_identifier, timeline) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING`,
          [slot, systemIdentifier, timeline],
        );
        await client.query('SELECT FROM walpost.cursor WHERE slot = $1 FOR UPDATE', [slot]);
        const { rows } = await client.query<CursorRow>(
          `UPDATE walpost.cursor SET epoch = epoch + 1, claimed_at = clock_timestamp() WHERE slot = $1
            RETURNING ${COLUMNS}`,
          [slot],
        );
        return { row: rows[0], first: inserted.rowCount === 1 };
      });
      if (!claimed.row) throw new WalpostError('LEADERSHIP_LOST', { detail: `The cursor of ${slot} was removed.` });
      return new CursorStore(pool, slot, { cursor: toCursor(claimed.row), first: claimed.first });
    } catch (error) {
      throw databaseError(error, 'claiming the cursor');
    }
  }

  /** Commits that everything before this position is settled. Bound, so that it can be handed on. */
  readonly advance = async (lsn: Lsn): Promise<void> => {
    await this.write(
      `UPDATE walpost.cursor
          SET lsn = greatest(lsn, $3::pg_lsn),
              advanced_at = CASE WHEN lsn >= $3::pg_lsn THEN advanced_at ELSE clock_timestamp() END
        WHERE slot = $1 AND epoch = $2`,
      [formatLsn(lsn)],
    );
  };

  /**
   * Records another cluster, or another history, once what it takes to heal is durable; pass the connection of that
   * transaction. This alone may move the position back.
   */
  async adopt(identity: ClusterIdentity, lsn: Lsn | null, client?: pg.ClientBase): Promise<void> {
    await this.write(
      `UPDATE walpost.cursor SET system_identifier = $3, timeline = $4, lsn = $5::pg_lsn, advanced_at = clock_timestamp()
        WHERE slot = $1 AND epoch = $2`,
      [identity.systemIdentifier, identity.timeline, lsn === null ? null : formatLsn(lsn)],
      client,
    );
  }

  /** Throws unless the epoch is ours, and keeps it so until the transaction of this connection ends. */
  async hold(client: pg.ClientBase): Promise<void> {
    const { rowCount } = await client.query(FENCE, [this.slot, this.epoch]);
    if (rowCount !== 1) throw this.lost();
  }

  /** Another history begins: no position of the old one may be compared any more, and nothing of it is settled. */
  async beginEra(identity: ClusterIdentity, client: pg.ClientBase): Promise<void> {
    await this.write(
      `UPDATE walpost.cursor SET system_identifier = $3, timeline = $4, lsn = NULL, era = era + 1, advanced_at = NULL
        WHERE slot = $1 AND epoch = $2`,
      [identity.systemIdentifier, identity.timeline],
      client,
    );
  }

  /** From here on the stream holds every row of this source; '' says that some are missing, and have to be read first. */
  async adoptSource(source: string | null, client?: pg.ClientBase): Promise<void> {
    await this.write('UPDATE walpost.cursor SET source = $3 WHERE slot = $1 AND epoch = $2', [source], client);
  }

  /** The row as it is now, whoever owns it. */
  read(): Promise<Cursor | undefined> {
    return readCursor(this.pool, this.slot);
  }

  /** The error of a write that found another epoch. */
  lost(): WalpostError {
    return new WalpostError('LEADERSHIP_LOST', { detail: `Epoch ${this.epoch} of slot ${this.slot} has ended.` });
  }

  private async write(sql: string, values: readonly unknown[], client: pg.ClientBase | pg.Pool = this.pool) {
    let written: number | null;
    try {
      ({ rowCount: written } = await client.query(sql, [this.slot, this.epoch, ...values]));
    } catch (error) {
      throw databaseError(error, 'writing the cursor');
    }
    if (written !== 1) throw this.lost();
  }
}
