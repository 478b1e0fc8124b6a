/** walpost.parked and walpost.dead_letters as operators see and change them, by filter, a bounded number of rows at a time. */
import type pg from 'pg';
import type { DeadLetterCount } from '../observe/status-report.ts';
import { rfc3339Sql } from '../pg-time.ts';
import { databaseError } from '../postgres/database-error.ts';
import { likePattern } from '../postgres/like-pattern.ts';
import { inTransaction } from '../postgres/transaction.ts';
import { COUNT_LIMIT } from './parked-sinks.ts';
import { askForRetry } from './retry-requests.ts';

export type StoredTable = 'parked' | 'dead_letters';

/** What is left out does not restrict. */
export interface StoredFilter {
  readonly slot: string;
  readonly sink?: string;
  readonly organization?: string;
  /** A lane of the organization; '' is its own. */
  readonly lane?: string;
  /** An event type; `*` stands for any text. */
  readonly type?: string;
  /** Of a dead letter. */
  readonly reason?: string;
  /** RFC 3339: stored before this moment. */
  readonly before?: string;
  readonly ids?: readonly string[];
  readonly eventIds?: readonly string[];
}

export interface StoredRow {
  readonly id: string;
  readonly sink: string | null;
  readonly organization_id: string | null;
  readonly event_type: string | null;
  readonly event_id: string | null;
  readonly stored_at: string;
  /** Of a dead letter: why it was given up; of a parked event: why its lane was last refused, null when not known. */
  readonly reason?: string | null;
  /** Of a dead letter its own; of a parked event the failures of its lane in a row, null when not known. */
  readonly attempts?: number | null;
  /** Of a dead letter. */
  readonly detail?: string;
  readonly answer?: string | null;
  readonly blocks?: boolean;
  /** Of a parked event. */
  readonly job?: string | null;
  /** When its lane is tried again; null when not known, and while it is being tried. */
  readonly next_try_at?: string | null;
  /** Who has paused its lane or sink, and when; null when nobody has. */
  readonly paused_by?: string | null;
  readonly paused_at?: string | null;
}

const STORED_AT: Readonly<Record<StoredTable, string>> = { parked: 'parked_at', dead_letters: 'stored_at' };
const ofLane = (value: string, name: string): string =>
  `(SELECT ${value} FROM walpost.lanes AS l
     WHERE (l.slot, l.sink, l.organization_id, l.lane) = (parked.slot, parked.sink, parked.organization_id, parked.lane)) AS ${name}`;
const paused = (value: string, name: string): string =>
  `(SELECT ${value} FROM walpost.lanes AS l
     WHERE (l.slot, l.sink) = (parked.slot, parked.sink) AND l.paused_at IS NOT NULL
       AND l.lane = '' AND l.organization_id IN (parked.organization_id, '')
     ORDER BY l.organization_id LIMIT 1) AS ${name}`;
const OWN: Readonly<Record<StoredTable, string>> = {
  parked: `job, ${ofLane('l.attempts', 'attempts')}, ${ofLane('l.reason', 'reason')}, ${ofLane(rfc3339Sql('l.next_try_at'), 'next_try_at')},
           ${paused('l.paused_by', 'paused_by')}, ${paused(rfc3339Sql('l.paused_at'), 'paused_at')}`,
  dead_letters: 'reason, detail, answer, attempts, blocks',
};

const CHUNK = 1_000;

function conditionOf(table: StoredTable, filter: StoredFilter): { where: string; values: unknown[] } {
  const values: unknown[] = [];
  const conditions: string[] = [];
  const demand = (left: string, right: (placeholder: string) => string, value: unknown): void => {
    if (value !== undefined) conditions.push(`${left} ${right(`$${values.push(value)}`)}`);
  };
  const equals = (placeholder: string): string => `= ${placeholder}`;
  demand('slot', equals, filter.slot);
  demand('sink', equals, filter.sink);
  demand('organization_id', equals, filter.organization);
  demand('lane', equals, filter.lane);
  demand('event_type', (p) => `LIKE ${p}`, filter.type && likePattern(filter.type));
  if (table === 'dead_letters') demand('reason', equals, filter.reason);
  demand(STORED_AT[table], (p) => `< ${p}::timestamptz`, filter.before);
  demand('id', (p) => `= ANY (${p}::bigint[])`, filter.ids);
  demand('event_id', (p) => `= ANY (${p}::text[])`, filter.eventIds);
  return { where: conditions.join(' AND '), values };
}

/** How many dead letters wait for a person, by sink and reason; of the newest `most` in all, so that one look stays short. */
export async function countDeadLetters(pool: pg.Pool, most = COUNT_LIMIT): Promise<readonly DeadLetterCount[]> {
  return ask<DeadLetterCount & object>(
    pool,
    `SELECT sink, reason, count(*)::integer AS count FROM (SELECT sink, reason FROM walpost.dead_letters ORDER BY id DESC LIMIT $1) AS newest
      GROUP BY sink, reason ORDER BY sink, reason`,
    [most],
  );
}

export async function countStored(pool: pg.Pool, table: StoredTable, filter: StoredFilter): Promise<number> {
  const { where, values } = conditionOf(table, filter);
  const rows = await ask<{ count: string }>(pool, `SELECT count(*) FROM walpost.${table} WHERE ${where}`, values);
  return Number(rows[0]?.count ?? 0);
}

/** The oldest first. */
export function listStored(
  pool: pg.Pool,
  table: StoredTable,
  filter: StoredFilter & { readonly limit: number },
): Promise<readonly StoredRow[]> {
  const { where, values } = conditionOf(table, filter);
  const sql = `SELECT id::text, sink, organization_id, event_type, event_id, ${rfc3339Sql(STORED_AT[table])} AS stored_at, ${OWN[table]}
                 FROM walpost.${table} WHERE ${where} ORDER BY ${table}.id LIMIT $${values.push(filter.limit)}`;
  return ask<StoredRow & object>(pool, sql, values);
}

/** Everything about one dead letter; undefined when there is none. */
export async function readDeadLetter(pool: pg.Pool, slot: string, id: string): Promise<object | undefined> {
  const times = ['created_at', 'expires_at', 'committed_at', 'stored_at']
    .map((column) => `${rfc3339Sql(column)} AS ${column}`)
    .join(', ');
  const sql = `
    SELECT id::text, sink, reason, detail, answer, attempts, blocks, event_id, organization_id, event_type, event_version, topic,
           entity_type, entity_id, target, idempotency_key, ${times}, commit_lsn::text AS lsn, ordinal, headers, payload, poison_row
      FROM walpost.dead_letters WHERE slot = $1 AND id = $2::bigint`;
  return (await ask<Record<string, unknown>>(pool, sql, [slot, id]))[0];
}

/** Deletes what is there now, not what comes meanwhile; tells how many are gone so far. */
export async function discardStored(
  pool: pg.Pool,
  table: StoredTable,
  filter: StoredFilter,
  onProgress: (gone: number) => void,
): Promise<number> {
  const { where, values } = conditionOf(table, filter);
  const [newest] = await ask<{ id: string | null }>(pool, `SELECT max(id)::text AS id FROM walpost.${table}`, []);
  const last = `$${values.push(newest?.id ?? '0')}::bigint`;
  const sql = `DELETE FROM walpost.${table} WHERE id IN (
    SELECT id FROM walpost.${table} WHERE ${where} AND id <= ${last} ORDER BY id LIMIT ${CHUNK}) RETURNING id`;
  let gone = 0;
  for (let chunk = CHUNK; chunk > 0;) {
    chunk = (await ask(pool, sql, values)).length;
    gone += chunk;
    if (chunk > 0) onProgress(gone);
  }
  return gone;
}

/** Tells the leader that the lanes of these rows are due now; resolves with their number. */
export async function wakeLanes(pool: pg.Pool, filter: StoredFilter): Promise<number> {
  const { where, values } = conditionOf('parked', filter);
  const sql = askForRetry(`SELECT DISTINCT sink, organization_id, lane FROM walpost.parked WHERE ${where}`);
  return (await ask(pool, `${sql} RETURNING id`, values)).length;
}

/**
 * Moves rows to another sink, lane by lane, each in one transaction, so that nobody ever sees a part of a lane and its
 * order stays as it is. An event that waits for the other sink already is not stored there twice.
 */
export async function moveParked(
  pool: pg.Pool,
  { filter, to }: { readonly filter: StoredFilter; readonly to: string },
  onProgress: (moved: number) => void,
): Promise<number> {
  const { where, values } = conditionOf('parked', filter);
  const lanes = await ask<{ sink: string; organization_id: string; lane: string }>(
    pool,
    `SELECT DISTINCT sink, organization_id, lane FROM walpost.parked WHERE ${where} ORDER BY 1, 2, 3`,
    values,
  );
  let moved = 0;
  for (const lane of lanes) {
    const one = { sink: lane.sink, organization: lane.organization_id, lane: lane.lane };
    moved += await moveLane(pool, conditionOf('parked', { ...filter, ...one }), { ...lane, sink: to });
    onProgress(moved);
  }
  return moved;
}

async function moveLane(
  pool: pg.Pool,
  { where, values }: { where: string; values: unknown[] },
  to: { readonly sink: string; readonly organization_id: string; readonly lane: string },
): Promise<number> {
  const target = `$${values.length + 1}`;
  try {
    return await inTransaction(pool, async (client) => {
      const rows = await client.query(`SELECT FROM walpost.parked WHERE ${where} FOR UPDATE`, values);
      await client.query(
        `DELETE FROM walpost.parked AS p WHERE ${where} AND EXISTS (
           SELECT FROM walpost.parked AS t
            WHERE t.slot = p.slot AND t.sink = ${target} AND t.organization_id = p.organization_id AND t.lane = p.lane
              AND ((t.history, t.order_lsn, t.order_job, t.place) = (p.history, p.order_lsn, p.order_job, p.place)
                   OR (t.job = p.job AND t.job_row = p.job_row)))`,
        [...values, to.sink],
      );
      await client.query(`UPDATE walpost.parked SET sink = ${target} WHERE ${where}`, [...values, to.sink]);
      await client.query(askForRetry('SELECT $2::text AS sink, $3::text AS organization_id, $4::text AS lane'), [
        values[0],
        to.sink,
        to.organization_id,
        to.lane,
      ]);
      return rows.rowCount ?? 0;
    });
  } catch (error) {
    throw databaseError(error, 'moving parked events');
  }
}

async function ask<R extends pg.QueryResultRow>(pool: pg.Pool, sql: string, values: unknown[]): Promise<R[]> {
  try {
    return (await pool.query<R>(sql, values)).rows;
  } catch (error) {
    throw databaseError(error, 'reading or changing what is stored');
  }
}
