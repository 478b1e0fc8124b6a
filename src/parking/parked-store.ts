/**
 * The rows of walpost.parked: insert, read in the order of the lane, delete. Every write is fenced by the epoch.
 *
 * A lane is ordered by (history, order_lsn, order_job, place). For events of the stream that is their position, so one that
 * comes again after a restart finds its own row and its own place, whatever was stored before or after it. The event of a
 * job has no position; it takes its place after what had been received when it was parked, or, while a lost slot is
 * healed, before everything that this slot had not confirmed.
 */
import type pg from 'pg';
import type { Event } from '../event.ts';
import { formatLsn, type Lsn, parseLsn } from '../lsn.ts';
import { POSTGRES_EPOCH_MICROS } from '../pg-time.ts';
import type { LaneName, PageLimits, ParkedLane, ParkedPage } from '../pipeline.ts';
import type { CursorStore } from '../postgres/cursor/cursor-store.ts';
import { FENCE, OWNED, writeFenced } from '../postgres/cursor/fence.ts';
import { databaseError } from '../postgres/database-error.ts';
import { EVENT_COLUMNS, eventOf, type ParkedRow } from './parked-columns.ts';

export interface ParkRequest {
  readonly sink: string;
  readonly lane: string;
  readonly event: Event;
}

const NAMES = EVENT_COLUMNS.map(([name]) => name).join(', ');

/** $1 slot, $2 epoch, $3 place of jobs, $4 sinks, $5 lanes, $6 milliseconds waited, $7 commit times in microseconds since 1970. */
const INSERT = `
  WITH fence AS (${FENCE}),
  now AS (SELECT history FROM walpost.cursor WHERE slot = $1),
  stored AS (
    INSERT INTO walpost.parked (slot, epoch, sink, lane, history, order_lsn, order_job, place, received_at, committed_at, ${NAMES})
    SELECT fence.slot, $2, e.sink, e.lane, now.history, coalesce(e.commit_lsn, $3::pg_lsn), e.commit_lsn IS NULL,
           coalesce(e.ordinal, nextval('walpost.parked_place')),
           clock_timestamp() - make_interval(secs => e.waited / 1000),
           to_timestamp(0) + e.committed * interval '1 microsecond',
           ${EVENT_COLUMNS.map(([name]) => `e.${name}`).join(', ')}
      FROM fence, now,
           unnest($4::text[], $5::text[], $6::float8[], $7::float8[],
                  ${EVENT_COLUMNS.map(([, type], index) => `$${index + 8}::${type}[]`).join(', ')})
           WITH ORDINALITY AS e (sink, lane, waited, committed, ${NAMES}, number)
     ORDER BY e.number
    ON CONFLICT DO NOTHING
  )
  ${OWNED}`;

/** The sizes are added up before any payload is touched. */
const READ = `
  SELECT p.id::text, ${EVENT_COLUMNS.map(([name]) => (name === 'commit_lsn' ? 'p.commit_lsn::text' : `p.${name}`)).join(', ')},
         (extract(epoch FROM p.committed_at) * 1000000 - ${POSTGRES_EPOCH_MICROS})::bigint::text AS committed,
         greatest(0, extract(epoch FROM clock_timestamp() - p.received_at) * 1000)::float8::text AS waited,
         jsonb_build_array(p.history, p.order_lsn::text, p.order_job, p.place)::text AS key
    FROM (SELECT id, history, order_lsn, order_job, place,
                 sum(size) OVER (ORDER BY history, order_lsn, order_job, place) - size AS before
            FROM (SELECT id, history, order_lsn, order_job, place, size, event_type FROM walpost.parked
                   WHERE slot = $1 AND sink = $2 AND organization_id = $3 AND lane = $8
                     AND ($4::jsonb IS NULL OR (history, order_lsn, order_job, place) >
                         (($4::jsonb ->> 0)::integer, ($4::jsonb ->> 1)::pg_lsn, ($4::jsonb ->> 2)::boolean, ($4::jsonb ->> 3)::bigint))
                   ORDER BY history, order_lsn, order_job, place LIMIT $5) AS first
           WHERE $7::text[] IS NULL OR event_type <> ALL ($7)) AS page
         JOIN walpost.parked p USING (id)
   WHERE page.before < $6
   ORDER BY page.history, page.order_lsn, page.order_job, page.place`;

const REMOVE = `
  WITH fence AS (${FENCE}),
  gone AS (DELETE FROM walpost.parked p USING fence WHERE p.id = ANY ($3::bigint[]))
  ${OWNED}`;

/** What of a lane was parked before the change at $6 came: whatever the stream brought, which brings the rest again, and jobs until then. */
const DISCARD = `
  WITH fence AS (${FENCE}),
  gone AS (
    DELETE FROM walpost.parked AS p USING fence, walpost.cursor AS now
     WHERE p.slot = fence.slot AND now.slot = fence.slot AND p.sink = $3 AND p.organization_id = $4 AND p.lane = $5
       AND (p.history < now.history OR NOT p.order_job OR p.order_lsn <= $6::pg_lsn)
  )
  ${OWNED}`;

/**
 * Two looks at the index for each lane, however many rows it has. What is earlier than the cursor is settled; of a lane whose
 * last row is later, earlier events may be in no row yet.
 */
const LANES = `
  WITH RECURSIVE lane AS (
    (SELECT sink, organization_id, lane FROM walpost.parked WHERE slot = $1 ORDER BY sink, organization_id, lane LIMIT 1)
    UNION ALL
    SELECT next.* FROM lane CROSS JOIN LATERAL (
      SELECT p.sink, p.organization_id, p.lane FROM walpost.parked p
       WHERE p.slot = $1 AND (p.sink, p.organization_id, p.lane) > (lane.sink, lane.organization_id, lane.lane)
       ORDER BY p.sink, p.organization_id, p.lane LIMIT 1) AS next
  )
  SELECT lane.sink, lane.organization_id AS "organizationId", lane.lane,
         CASE WHEN last.history = c.history AND last.until >= coalesce(c.lsn, '0/0') THEN last.until::text END AS "redeliveredUntil"
    FROM lane
         CROSS JOIN (SELECT history, lsn FROM walpost.cursor WHERE slot = $1) AS c
         CROSS JOIN LATERAL (
           SELECT p.history, p.order_lsn - p.order_job::integer AS until FROM walpost.parked p
            WHERE p.slot = $1 AND p.sink = lane.sink AND p.organization_id = lane.organization_id AND p.lane = lane.lane
            ORDER BY p.history DESC, p.order_lsn DESC, p.order_job DESC, p.place DESC LIMIT 1) AS last`;

export class ParkedStore {
  private readonly pool: pg.Pool;
  private readonly cursor: CursorStore;
  private readonly isMapped: boolean;

  /** `isMapped`: the events come from a table of the application. */
  constructor(pool: pg.Pool, cursor: CursorStore, isMapped = false) {
    this.pool = pool;
    this.cursor = cursor;
    this.isMapped = isMapped;
  }

  /** Commits the rows. `placeOfJobs` is the place of events that have no position, `now` the clock's moment. */
  async insert(requests: readonly ParkRequest[], moment: { placeOfJobs: Lsn; now: number }): Promise<void> {
    const events = requests.map(({ event }) => event);
    await this.write('parking events', INSERT, [
      formatLsn(moment.placeOfJobs),
      requests.map(({ sink }) => sink),
      requests.map(({ lane }) => lane),
      events.map(({ origin }) => moment.now - origin.receivedAt),
      events.map(({ origin }) => unixMicros(origin.committedAtMicros)),
      ...EVENT_COLUMNS.map(([, , valueOf]) => events.map(valueOf)),
    ]);
  }

  async read(lane: LaneName, given: PageLimits & { after: string | null; now: number }): Promise<ParkedPage> {
    const { after, maxEvents, maxBytes, otherTypes, now } = given;
    try {
      const values = [
        this.cursor.slot,
        lane.sink,
        lane.organizationId,
        after,
        maxEvents,
        maxBytes,
        otherTypes,
        lane.lane,
      ];
      const { rows } = await this.pool.query<ParkedRow & { key: string }>(READ, values);
      return { events: rows.map((row) => eventOf(row, now, this.isMapped)), last: rows.at(-1)?.key ?? null };
    } catch (error) {
      throw databaseError(error, 'reading parked events');
    }
  }

  async remove(ids: readonly string[]): Promise<void> {
    await this.write('removing delivered events', REMOVE, [ids]);
  }

  /** Removes the rows of a lane that ended at that place. */
  async discard({ sink, organizationId, lane }: LaneName, upTo: Lsn): Promise<void> {
    await this.write('discarding parked events', DISCARD, [sink, organizationId, lane, formatLsn(upTo)]);
  }

  /** Every lane that has rows. */
  async lanes(): Promise<readonly ParkedLane[]> {
    try {
      const { rows } = await this.pool.query<LaneName & { redeliveredUntil: string | null }>(LANES, [this.cursor.slot]);
      return rows.map((row) => ({ ...row, redeliveredUntil: parseLsn(row.redeliveredUntil ?? '') ?? null }));
    } catch (error) {
      throw databaseError(error, 'reading the parked lanes');
    }
  }

  private async write(what: string, sql: string, values: readonly unknown[]): Promise<void> {
    await writeFenced(this.pool, this.cursor, { what, sql, values });
  }
}

function unixMicros(sinceY2000: bigint | null): number | null {
  return sinceY2000 === null ? null : Number(sinceY2000 + POSTGRES_EPOCH_MICROS);
}
