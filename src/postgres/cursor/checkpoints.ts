/**
 * Checkpoints: what was visible at which position of the WAL and at which time (sql/tables/005_cursor.sql).
 *
 * The leader takes one now and then while events flow, and marks it settled once everything before its position is
 * settled. From then on the rows that its snapshot sees are proven. The rule is the whole snapshot, not its xmin: an old
 * transaction that is still open anywhere in the cluster unproves its own rows and no others.
 *
 * While a heal job is open nothing new is proven: the rows behind the gap of a lost slot lie before positions that the
 * next connection's watermark passes without having seen them.
 *
 * Nor while the publication or the table are others than those that the stream was last whole with (../source/completeness.ts).
 *
 * Positions and snapshots of another cluster mean nothing, so each checkpoint names its cluster. Another timeline of the
 * same cluster is no objection: a checkpoint that is in the tables was written before the histories parted, and so was
 * everything that its snapshot sees.
 */
import type pg from 'pg';
import { formatLsn, type Lsn, parseLsn } from '../../lsn.ts';
import type { CursorStore } from './cursor-store.ts';
import { FENCE, OWNED, writeFenced } from './fence.ts';
import { databaseError } from '../database-error.ts';
import { type PublishedTable, SOURCE_IDENTITY, sourceValues } from '../source/completeness.ts';

/**
 * The snapshot is read first, when the statement starts; then the position, then the clock. What it compares with the cursor
 * is read by the same snapshot.
 */
const TAKE = `
  WITH fence AS (SELECT c.* FROM walpost.cursor AS c JOIN (${FENCE}) AS f USING (slot)),
  taken AS (
    INSERT INTO walpost.checkpoints (slot, system_identifier, timeline, snapshot, lsn, taken_at)
    SELECT slot, system_identifier, timeline, pg_current_snapshot(), pg_current_wal_insert_lsn(), clock_timestamp()
      FROM fence WHERE source = ${SOURCE_IDENTITY}
    RETURNING lsn::text
  )
  SELECT (SELECT count(*)::integer FROM fence) AS owned, (SELECT lsn FROM taken) AS lsn`;

const RECORD = `
  WITH fence AS (SELECT c.* FROM walpost.cursor AS c JOIN (${FENCE}) AS f USING (slot)),
  recorded AS (
    INSERT INTO walpost.checkpoints (slot, system_identifier, timeline, snapshot, lsn, settled_at)
    SELECT slot, system_identifier, timeline, $3::pg_snapshot, $4::pg_lsn, clock_timestamp() FROM fence
  )
  ${OWNED}`;

const SETTLE = `
  WITH fence AS (${FENCE}),
  settled AS (
    UPDATE walpost.checkpoints AS c SET settled_at = clock_timestamp() FROM fence
     WHERE c.slot = fence.slot AND c.system_identifier = fence.system_identifier
       AND c.settled_at IS NULL AND c.lsn <= $3::pg_lsn
       AND NOT EXISTS (SELECT FROM walpost.jobs AS j
                        WHERE j.slot = fence.slot AND j.kind = 'heal' AND j.state IN ('queued', 'running'))
  )
  ${OWNED}`;

/** All of the last hour, then the first of each hour; the newest settled one whatever its age. */
const THIN = `
  WITH kept AS (
    SELECT DISTINCT ON (date_trunc('hour', taken_at)) id FROM walpost.checkpoints
     WHERE slot = $1 AND taken_at >= now() - $2::interval
     ORDER BY date_trunc('hour', taken_at), taken_at, id
  )
  DELETE FROM walpost.checkpoints
   WHERE slot = $1 AND taken_at < now() - interval '1 hour' AND id NOT IN (SELECT id FROM kept)
     AND id IS DISTINCT FROM (SELECT id FROM walpost.checkpoints WHERE slot = $1 AND settled_at IS NOT NULL
                               ORDER BY lsn DESC, id DESC LIMIT 1)`;

/** Longer than the outbox is kept, so that rows which are there can be replayed. */
const KEPT_FOR = '8 days';

export class CheckpointStore {
  private readonly pool: pg.Pool;
  private readonly cursor: CursorStore;

  constructor(pool: pg.Pool, cursor: CursorStore) {
    this.pool = pool;
    this.cursor = cursor;
  }

  /** Takes one now, and gives back its position; undefined while the stream may lack rows of that table. */
  async takeOf(source: PublishedTable): Promise<Lsn | undefined> {
    const write = { what: 'taking a checkpoint', sql: TAKE, values: sourceValues(source) };
    const { lsn } = await writeFenced<{ lsn: string | null }>(this.pool, this.cursor, write);
    return parseLsn(lsn ?? '');
  }

  /**
   * Records a settled one whose snapshot belongs exactly to the position: that of a slot's beginning. Pass the connection
   * of the transaction that makes it true.
   */
  async record(checkpoint: { lsn: Lsn; snapshot: string }, client?: pg.ClientBase): Promise<void> {
    const values = [checkpoint.snapshot, formatLsn(checkpoint.lsn)];
    await writeFenced(client ?? this.pool, this.cursor, { what: 'recording a checkpoint', sql: RECORD, values });
  }

  /** Everything before the watermark is settled, and so are the checkpoints at or below it. */
  async settle(watermark: Lsn): Promise<void> {
    const values = [formatLsn(watermark)];
    await writeFenced(this.pool, this.cursor, { what: 'settling checkpoints', sql: SETTLE, values });
  }

  /** Removes all of them: they belong to a history that has ended. */
  async forget(client: pg.ClientBase): Promise<void> {
    try {
      await client.query('DELETE FROM walpost.checkpoints WHERE slot = $1', [this.cursor.slot]);
    } catch (error) {
      throw databaseError(error, 'removing checkpoints');
    }
  }

  /** Removes what is too close together, or too old. */
  async thin(): Promise<void> {
    try {
      await this.pool.query(THIN, [this.cursor.slot, KEPT_FOR]);
    } catch (error) {
      throw databaseError(error, 'removing old checkpoints');
    }
  }
}
