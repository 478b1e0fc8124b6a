/**
 * walpost.told_alerts: which alerts the receiver knows of, and which it has still to be told. It outlives the process, so a
 * leader tells nothing a second time that an earlier one has told, and tells what has ended in between.
 */
import type pg from 'pg';
import type { Alert } from '../../observe/status-report.ts';
import type { CursorStore } from '../../postgres/cursor/cursor-store.ts';
import { FENCE, OWNED, writeFenced } from '../../postgres/cursor/fence.ts';
import { databaseError } from '../../postgres/database-error.ts';

/** For one slot; of what has ended the oldest make room. */
export const MOST_ALERTS = 200;

/** Times are RFC 3339, in UTC. */
export interface ToldAlert extends Alert {
  /** A uuid. */
  readonly id: string;
  readonly since: string;
  /** The receiver knows that it fired. */
  readonly toldAt: string | null;
  readonly endedAt: string | null;
}

export interface AlertChanges {
  readonly begun: readonly Alert[];
  readonly ended: readonly Alert[];
  /** To make room. */
  readonly dropped: readonly Alert[];
}

const time = (column: string): string => `to_char(${column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.MS"Z"')`;

const READ = `
  SELECT id, name, severity, subject, message, remedy,
         ${time('since')} AS since, ${time('told_at')} AS "toldAt", ${time('ended_at')} AS "endedAt"
    FROM walpost.told_alerts WHERE slot = $1 ORDER BY coalesce(ended_at, told_alerts.since), name, subject`;

const KEY = '(t.name, t.severity, t.subject)';

const NOTE = `
  WITH fence AS (${FENCE}),
  begun AS (
    INSERT INTO walpost.told_alerts (slot, name, severity, subject, message, remedy)
    SELECT fence.slot, b.name, b.severity, b.subject, b.message, b.remedy
      FROM fence, jsonb_to_recordset($3::jsonb) AS b (name text, severity text, subject text, message text, remedy text)
    ON CONFLICT DO NOTHING
  ),
  ended AS (
    UPDATE walpost.told_alerts AS t SET ended_at = clock_timestamp() FROM fence
     WHERE t.slot = fence.slot AND t.ended_at IS NULL
       AND ${KEY} IN (SELECT e.name, e.severity, e.subject FROM jsonb_to_recordset($4::jsonb) AS e (name text, severity text, subject text))
  ),
  dropped AS (
    DELETE FROM walpost.told_alerts AS t USING fence
     WHERE t.slot = fence.slot
       AND ${KEY} IN (SELECT d.name, d.severity, d.subject FROM jsonb_to_recordset($5::jsonb) AS d (name text, severity text, subject text))
  )
  ${OWNED}`;

const FIRED_TOLD = `
  WITH fence AS (${FENCE}),
  told AS (
    UPDATE walpost.told_alerts AS t SET told_at = clock_timestamp() FROM fence
     WHERE t.slot = fence.slot AND t.id = $3
  )
  ${OWNED}`;

const END_TOLD = `
  WITH fence AS (${FENCE}),
  gone AS (
    DELETE FROM walpost.told_alerts AS t USING fence WHERE t.slot = fence.slot AND t.id = $3
  )
  ${OWNED}`;

/** One of a term: every write is refused when another process leads. */
export class ToldAlerts {
  private readonly pool: pg.Pool;
  private readonly cursor: CursorStore;

  constructor(pool: pg.Pool, cursor: CursorStore) {
    this.pool = pool;
    this.cursor = cursor;
  }

  /** The oldest news first. */
  async read(): Promise<readonly ToldAlert[]> {
    try {
      return (await this.pool.query<ToldAlert & object>(READ, [this.cursor.slot])).rows;
    } catch (error) {
      throw databaseError(error, 'reading which alerts were told');
    }
  }

  async note({ begun, ended, dropped }: AlertChanges): Promise<void> {
    if (begun.length + ended.length + dropped.length === 0) return;
    const values = [begun, ended, dropped].map((alerts) => JSON.stringify(alerts));
    await writeFenced(this.pool, this.cursor, { what: 'noting alerts', sql: NOTE, values });
  }

  /** The receiver has accepted the newest news of it. */
  async accepted({ id, endedAt }: ToldAlert): Promise<void> {
    const sql = endedAt === null ? FIRED_TOLD : END_TOLD;
    await writeFenced(this.pool, this.cursor, { what: 'noting that an alert was told', sql, values: [id] });
  }
}
