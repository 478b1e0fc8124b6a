/**
 * Counts starts without progress in the cursor row, and finds the event that ends the process.
 *
 * A process that ends in good order, on request or with an error, records a clean shutdown. A process that is killed, aborted
 * or out of memory cannot. A start that finds the cursor where the last start found it is a start without progress. From the
 * second one on the relay goes carefully: one event at a time, each recorded in the row before a sink gets it. The event that
 * is recorded when a process dies is a suspect. It is blamed when it is recorded at a second death too, and then the next
 * process stores it as a dead letter instead of sending it. One death proves nothing, because a kill from outside always
 * meets some event.
 *
 * An event that stays with a slow sink for long meets such kills again and again, so it becomes a suspect only after many
 * more starts.
 */
import type pg from 'pg';
import type { Event } from '../event.ts';
import { formatLsn } from '../lsn.ts';
import type { CursorStore } from '../postgres/cursor/cursor-store.ts';
import { databaseError } from '../postgres/database-error.ts';

/**
 * One start without progress in this many goes at full speed. A process that is killed from outside every few seconds can
 * move the cursor at full speed, and hardly while it goes carefully.
 */
const FULL_SPEED_EVERY = 3;
/** Deaths at which an event must have been in flight before it is blamed. */
const DEATHS_TO_BLAME = 2;
/** From this start on, an event that had been with a sink for long is a suspect too. */
const CERTAIN_FROM = 10;

/** One event on its way to one sink. */
export interface Suspect {
  readonly sink: string;
  readonly event_id: string;
  /** `16/B374D848 3`, or the job. */
  readonly origin: string;
}

export function suspectOf(sink: string, { eventId, origin, ordinal }: Event): Suspect {
  const { commitLsn, job } = origin;
  const from = commitLsn === null ? (job ?? '') : `${formatLsn(commitLsn)} ${ordinal ?? 0}`;
  return { sink, event_id: eventId, origin: from };
}

/** Whether this start without progress goes carefully. */
export function isCareful(starts: number): boolean {
  return starts > 0 && starts % FULL_SPEED_EVERY !== 1;
}

export function suspectKey({ sink, event_id: id, origin }: Suspect): string {
  return JSON.stringify([sink, id, origin]);
}

/** The list `blamed` after a death: the event in flight is added with one death, or gets one more. */
const ONE_MORE_DEATH = `
  (SELECT coalesce(jsonb_agg(e), '[]') FROM jsonb_array_elements(c.blamed) AS e WHERE e - 'deaths' <> c.in_flight - 'waited')
  || jsonb_build_array((c.in_flight - 'waited') || jsonb_build_object('deaths', 1 + coalesce(
       (SELECT (e ->> 'deaths')::integer FROM jsonb_array_elements(c.blamed) AS e
         WHERE e - 'deaths' = c.in_flight - 'waited'), 0)))`;

/**
 * Counts a start. A start is stuck when an event was in flight, or when the cursor has not moved since the last start.
 *   starts   unchanged when this process has led before ($3), one more when stuck, else 1
 *   blamed   emptied after progress; unchanged when nothing was in flight, when this process lives, or when the event had
 *            waited long and there were few starts; else with one more death of the event in flight
 */
const BEGIN = `
  UPDATE walpost.cursor AS c
     SET starts = n.starts, starts_lsn = c.lsn, in_flight = NULL,
         blamed = CASE WHEN NOT n.stuck THEN '[]'
                       WHEN c.in_flight IS NULL OR $3 OR (c.in_flight ? 'waited' AND n.starts < ${CERTAIN_FROM}) THEN c.blamed
                       ELSE ${ONE_MORE_DEATH} END
    FROM (SELECT slot, stuck, CASE WHEN $3 THEN starts WHEN stuck THEN starts + 1 ELSE 1 END AS starts
            FROM (SELECT slot, starts, in_flight IS NOT NULL OR starts_lsn IS NOT DISTINCT FROM lsn AS stuck
                    FROM walpost.cursor WHERE slot = $1) AS s) AS n
   WHERE c.slot = n.slot AND c.slot = $1 AND c.epoch = $2
  RETURNING c.starts,
            (SELECT coalesce(jsonb_agg(e - 'deaths'), '[]')::text FROM jsonb_array_elements(c.blamed) AS e
              WHERE (e ->> 'deaths')::integer >= ${DEATHS_TO_BLAME}) AS blamed`;

const NOTE = `
  UPDATE walpost.cursor SET in_flight = $3::jsonb WHERE slot = $1 AND epoch = $2
  RETURNING lsn IS DISTINCT FROM starts_lsn AS progressed`;

const END = `
  UPDATE walpost.cursor SET starts = 0, starts_lsn = NULL, in_flight = NULL, blamed = '[]' WHERE slot = $1 AND epoch = $2`;

export class CrashRecord {
  /** Starts without progress, this one included. */
  readonly starts: number;
  readonly blamed: readonly Suspect[];
  private readonly pool: pg.Pool;
  private readonly cursor: CursorStore;
  private ended = false;

  private constructor(pool: pg.Pool, cursor: CursorStore, found: { starts: number; blamed: string }) {
    this.pool = pool;
    this.cursor = cursor;
    this.starts = found.starts;
    this.blamed = JSON.parse(found.blamed) as Suspect[];
  }

  /** Counts the start, unless this process has led before. */
  static async begin(pool: pg.Pool, cursor: CursorStore, hasLed: boolean): Promise<CrashRecord> {
    try {
      const { rows } = await pool.query<{ starts: number; blamed: string }>(BEGIN, [cursor.slot, cursor.epoch, hasLed]);
      if (!rows[0]) throw cursor.lost();
      return new CrashRecord(pool, cursor, rows[0]);
    } catch (error) {
      throw databaseError(error, 'counting the starts');
    }
  }

  /** Commits which event is with a sink; null when none is. True when the cursor has moved since the start. */
  async note(suspect: Suspect | null, waited = false): Promise<boolean> {
    if (this.ended) return true;
    const value = suspect && JSON.stringify({ ...suspect, ...(waited && { waited }) });
    try {
      const { rows } = await this.pool.query<{ progressed: boolean }>(NOTE, [
        this.cursor.slot,
        this.cursor.epoch,
        value,
      ]);
      if (!rows[0]) throw this.cursor.lost();
      return rows[0].progressed;
    } catch (error) {
      throw databaseError(error, 'noting an event');
    }
  }

  /** The process is about to end in good order, or lives on without this connection. */
  async recordCleanShutdown(): Promise<void> {
    this.ended = true;
    await this.pool.query(END, [this.cursor.slot, this.cursor.epoch]);
  }
}
