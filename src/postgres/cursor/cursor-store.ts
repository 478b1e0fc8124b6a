/**
 * The cursor row of a slot, and with it the right to write.
 *
 * Who claims the row gets the next epoch. Every later write of that owner, here and in every write through fence.ts, happens only
 * while the row still has that epoch; an owner that was paused, or cut off, and wakes up after another has claimed,
 * gets LEADERSHIP_LOST and has changed nothing.
 *
 * The position never moves back. After a restart the stream may begin before it, since the row is committed before the
 * slot is told; then advancing changes nothing until the stream has caught up.
 */
import type pg from 'pg';
import { WalpostError } from '../../errors.ts';
import { type Lsn, formatLsn, parseLsn } from '../../lsn.ts';
import { databaseError } from '../database-error.ts';
import { FENCE } from './fence.ts';
import { splitQualified } from '../identifiers.ts';
import { inTransaction } from '../transaction.ts';

/** A cluster and its history: positions of different ones must not be compared. */
export interface ClusterIdentity {
  readonly systemIdentifier: string;
  readonly timeline: number;
}

/** What a slot brings: recorded with its cursor, so that it is found under another configuration too. */
export interface CursorSource {
  readonly publication: string;
  /** As schema.table. */
  readonly table: string;
}

export interface CursorClaim extends ClusterIdentity {
  readonly slot: string;
  readonly source?: CursorSource;
}

/** The row as it is. */
export interface Cursor extends ClusterIdentity {
  readonly epoch: bigint;
  readonly lsn: Lsn | null;
}

interface CursorRow {
  epoch: string;
  lsn: string | null;
  system_identifier: string;
  timeline: number;
}

/** The number of this database: it stays when the database is renamed, and is another one in a copy. */
const THIS_DATABASE = '(SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database())';

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
    const { slot, systemIdentifier, timeline, source } = claim;
    const [schema = null, table = null] = source ? splitQualified(source.table) : [];
    try {
      const claimed = await inTransaction(pool, async (client) => {
        const session = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
        onSession?.(session.rows[0]?.pid ?? 0);
        const inserted = await client.query(
          `INSERT INTO walpost.cursor (slot, system_identifier, timeline, database_oid)
           VALUES ($1, $2, $3, ${THIS_DATABASE}) ON CONFLICT DO NOTHING`,
          [slot, systemIdentifier, timeline],
        );
        await client.query('SELECT FROM walpost.cursor WHERE slot = $1 FOR UPDATE', [slot]);
        const { rows } = await client.query<CursorRow>(
          `UPDATE walpost.cursor
              SET epoch = epoch + 1, claimed_at = clock_timestamp(),
                  source_table = coalesce(quote_ident($2::text) || '.' || quote_ident($3::text), source_table),
                  publication = coalesce($4, publication)
            WHERE slot = $1 RETURNING ${COLUMNS}`,
          [slot, schema, table, source?.publication ?? null],
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
      `UPDATE walpost.cursor SET system_identifier = $3, timeline = $4, lsn = $5::pg_lsn, advanced_at = clock_timestamp(),
              database_oid = ${THIS_DATABASE}
        WHERE slot = $1 AND epoch = $2`,
      [identity.systemIdentifier, identity.timeline, lsn === null ? null : formatLsn(lsn)],
      client,
    );
  }

  /** Throws unless the epoch is ours, and keeps it so until the transaction of this connection ends. */
  async lockEpoch(client: pg.ClientBase): Promise<void> {
    const { rowCount } = await client.query(FENCE, [this.slot, this.epoch]);
    if (rowCount !== 1) throw this.lost();
  }

  /** Another history begins: no position of the old one may be compared any more, and nothing of it is settled. */
  async beginHistory(identity: ClusterIdentity, client: pg.ClientBase): Promise<void> {
    await this.write(
      `UPDATE walpost.cursor SET system_identifier = $3, timeline = $4, lsn = NULL, history = history + 1, advanced_at = NULL,
              database_oid = ${THIS_DATABASE}
        WHERE slot = $1 AND epoch = $2`,
      [identity.systemIdentifier, identity.timeline],
      client,
    );
  }

  /** From here on the stream holds every row of this source; '' says that some are missing, and have to be read first. */
  async adoptSource(source: string | null, client?: pg.ClientBase): Promise<void> {
    await this.write('UPDATE walpost.cursor SET source = $3 WHERE slot = $1 AND epoch = $2', [source], client);
  }

  /** The slot that this one took over from, while it has still to be dropped. */
  async formerSlot(): Promise<string | undefined> {
    const sql = 'SELECT former_slot AS name FROM walpost.cursor WHERE slot = $1';
    try {
      return (await this.pool.query<{ name: string | null }>(sql, [this.slot])).rows[0]?.name ?? undefined;
    } catch (error) {
      throw databaseError(error, 'reading the cursor');
    }
  }

  async forgetFormerSlot(): Promise<void> {
    await this.write('UPDATE walpost.cursor SET former_slot = NULL WHERE slot = $1 AND epoch = $2', []);
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
