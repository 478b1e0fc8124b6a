/** walpost.lanes: which lanes fail, for people and for status without a process; what changed, once a second at most. */
import type pg from 'pg';
import type { Clock } from '../clock.ts';
import type { FailingLane } from '../pipeline.ts';
import type { CursorStore } from '../postgres/cursor/cursor-store.ts';
import { databaseError } from '../postgres/database-error.ts';
import { FENCE, OWNED, writeFenced } from '../postgres/cursor/fence.ts';
import { asciiText, refusesContent } from '../postgres/storable.ts';

/** Maximum of lanes that are written and read: a sink that is away must not make the leader write for all of its tenants. */
export const MOST_FAILING = 5_000;

/** The first round forgets what an earlier leader wrote, but for the lanes that the router has recalled. */
const WRITE = `
  WITH fence AS (${FENCE}),
  given AS (
    SELECT * FROM unnest($3::text[], $4::text[], $5::text[], $6::timestamptz[], $7::integer[], $8::text[],
                         $9::timestamptz[], $10::text[], $11::text[], $16::text[])
                  AS g (sink, organization_id, lane, failing_since, attempts, reason, next_try_at, state, answer, code)
  ),
  gone AS (
    DELETE FROM walpost.lanes AS l USING fence
     WHERE l.slot = fence.slot AND l.paused_at IS NULL
       AND ($15 AND NOT EXISTS (
              SELECT FROM given AS g WHERE (g.sink, g.organization_id, g.lane) = (l.sink, l.organization_id, l.lane))
            OR (l.sink, l.organization_id, l.lane) IN (SELECT * FROM unnest($12::text[], $13::text[], $14::text[])))
  ),
  put AS (
    INSERT INTO walpost.lanes AS l (slot, sink, organization_id, lane, state, failing_since, attempts, code, reason, answer, next_try_at)
    SELECT fence.slot, g.sink, g.organization_id, g.lane, g.state, g.failing_since, g.attempts, g.code, g.reason, g.answer, g.next_try_at
      FROM fence, given AS g
    ON CONFLICT (slot, sink, organization_id, lane) DO UPDATE
       SET state = excluded.state, failing_since = excluded.failing_since, attempts = excluded.attempts,
           code = excluded.code, reason = excluded.reason, answer = excluded.answer, next_try_at = excluded.next_try_at
     WHERE l.paused_at IS NULL
  )
  ${OWNED}`;

const READ = `
  SELECT sink, organization_id AS "organizationId", lane, state, attempts, coalesce(reason, '') AS reason, code, answer,
         (extract(epoch FROM clock_timestamp() - failing_since) * 1000)::float8 AS "failingMs"
    FROM walpost.lanes WHERE slot = $1 AND attempts > 0 AND failing_since IS NOT NULL LIMIT ${MOST_FAILING}`;

/** The lanes that failed when the last connection ended; the record may be a second old. */
export async function readFailingLanes(pool: pg.Pool, slot: string, clock: Clock): Promise<readonly FailingLane[]> {
  try {
    const { rows } = await pool.query<Omit<FailingLane, 'since'> & { failingMs: number }>(READ, [slot]);
    return rows.map(({ failingMs, ...lane }) => ({ ...lane, since: clock.now() - failingMs, nextTryAt: null }));
  } catch (error) {
    throw databaseError(error, 'reading which lanes fail');
  }
}

export class LaneRecords {
  private readonly pool: pg.Pool;
  private readonly cursor: CursorStore;
  private readonly clock: Clock;
  /** As they stand in the table; undefined before the first round. */
  private written: Map<string, FailingLane> | undefined;

  constructor(pool: pg.Pool, cursor: CursorStore, clock: Clock) {
    this.pool = pool;
    this.cursor = cursor;
    this.clock = clock;
  }

  /** Writes what has changed since the last round; of at most MOST_FAILING lanes. */
  async round(failing: readonly FailingLane[]): Promise<void> {
    const now = new Map(failing.map((lane) => [JSON.stringify([lane.sink, lane.organizationId, lane.lane]), lane]));
    const before = this.written;
    const changed = [...now].filter(([key, lane]) => !same(before?.get(key), lane)).map(([, lane]) => lane);
    const gone = [...(before ?? [])].filter(([key]) => !now.has(key)).map(([, lane]) => lane);
    if (before && changed.length === 0 && gone.length === 0) return;
    await this.write(changed, gone, before === undefined);
    this.written = now;
  }

  private async write(lanes: readonly FailingLane[], gone: readonly FailingLane[], first: boolean): Promise<void> {
    const { clock } = this;
    const wall = (at: number | null): string | null =>
      at === null ? null : new Date(clock.wallTime() + at - clock.now()).toISOString();
    const values = [
      lanes.map(({ sink }) => sink),
      lanes.map(({ organizationId }) => organizationId),
      lanes.map(({ lane }) => lane),
      lanes.map(({ since }) => wall(since)),
      lanes.map(({ attempts }) => attempts),
      lanes.map(({ reason }) => reason),
      lanes.map(({ nextTryAt }) => wall(nextTryAt)),
      lanes.map(({ state }) => state),
      lanes.map(({ answer }) => answer),
      gone.map(({ sink }) => sink),
      gone.map(({ organizationId }) => organizationId),
      gone.map(({ lane }) => lane),
      first,
      lanes.map(({ code }) => code),
    ];
    await this.put(values).catch((error: unknown) => {
      if (!refusesContent(error)) throw error;
      return this.put(values.map((value, at) => (TOLD.has(at) ? (value as (string | null)[]).map(plain) : value)));
    });
  }

  private async put(values: readonly unknown[]): Promise<void> {
    await writeFenced(this.pool, this.cursor, { what: 'writing which lanes fail', sql: WRITE, values });
  }
}

/** Where reason, answer and code stand among the values: a receiver or a sink may say what the database cannot store. */
const TOLD: ReadonlySet<number> = new Set([5, 8, 13]);
const plain = (text: string | null): string | null => text && asciiText(text.replaceAll('\0', ''));

function same(before: FailingLane | undefined, lane: FailingLane): boolean {
  return (
    before?.since === lane.since &&
    before.attempts === lane.attempts &&
    before.state === lane.state &&
    before.code === lane.code &&
    before.reason === lane.reason &&
    before.answer === lane.answer &&
    before.nextTryAt === lane.nextTryAt
  );
}
