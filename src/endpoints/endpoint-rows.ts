/** The endpoints in Postgres: as they are now, and as they were at a place of the stream. */
import type pg from 'pg';
import { type Endpoint, endpointState, headerTexts } from '../endpoint.ts';
import { formatLsn, type Lsn, LSN_ZERO, parseLsn } from '../lsn.ts';
import type { CursorStore } from '../postgres/cursor/cursor-store.ts';
import { databaseError } from '../postgres/database-error.ts';
import type { KnownEndpoint } from './directory.ts';

type Queries = pg.Pool | pg.ClientBase;

interface Row extends Omit<Endpoint, 'state' | 'headers'> {
  readonly headers: string;
  readonly change: string;
  readonly state: string;
  readonly changeId: string;
}

const columns = (table: string): string => `
  ${table}.endpoint_id::text AS "endpointId", ${table}.sink, ${table}.organization_id::text AS "organizationId", ${table}.url,
  ${table}.event_types AS "eventTypes", ${table}.headers::text AS headers, ${table}.max_per_second::float8 AS "maxPerSecond", ${table}.state`;

const NOW = `
  SELECT ${columns('e')}, '' AS change,
         coalesce((SELECT max(c.change_id) FROM walpost.endpoint_changes AS c WHERE c.endpoint_id = e.endpoint_id), 0)::text AS "changeId"
    FROM walpost.endpoints AS e`;

/** Of each endpoint the last change that committed before $2; a change without a position comes in the stream. */
const AT = `
  SELECT ${columns('c')}, c.change, c.change_id::text AS "changeId"
    FROM (SELECT DISTINCT ON (c.endpoint_id) c.*
            FROM walpost.endpoint_changes AS c
                 JOIN walpost.endpoint_positions AS p ON p.slot = $1 AND p.change_id = c.change_id
           WHERE p.commit_lsn < $2::pg_lsn
           ORDER BY c.endpoint_id, c.change_id DESC) AS c`;

export async function endpointsNow(db: Queries): Promise<readonly KnownEndpoint[]> {
  return read(db, NOW, []);
}

export async function endpointsAt(db: Queries, slot: string, start: Lsn): Promise<readonly KnownEndpoint[]> {
  return read(db, AT, [slot, formatLsn(start)]);
}

/** The changes that a snapshot sees: those that are before the beginning of its slot. */
export async function seenChanges(db: Queries): Promise<readonly string[]> {
  const { rows } = await db.query<{ id: string }>('SELECT change_id::text AS id FROM walpost.endpoint_changes');
  return rows.map(({ id }) => id);
}

/** A slot begins anew: it has these changes behind it, and brings all others. Within the transaction that says where it begins. */
export async function beginEndpointsAnew(
  client: pg.ClientBase,
  { slot }: Pick<CursorStore, 'slot'>,
  seen: readonly string[],
): Promise<void> {
  try {
    await client.query('DELETE FROM walpost.endpoint_positions WHERE slot = $1', [slot]);
    await client.query(
      `INSERT INTO walpost.endpoint_positions (slot, change_id, commit_lsn)
       SELECT $1, change_id, '0/0' FROM unnest($2::bigint[]) AS s (change_id)`,
      [slot, seen],
    );
  } catch (error) {
    throw databaseError(error, 'noting changes of endpoints');
  }
}

/**
 * Takes up changes that were settled without a position: a release that knew nothing of endpoints has led meanwhile. What a
 * settled checkpoint sees does not come in the stream any more.
 */
export async function adoptSettledChanges(db: Queries, slot: string): Promise<number> {
  const sql = `
    INSERT INTO walpost.endpoint_positions (slot, change_id, commit_lsn)
    SELECT $1, c.change_id, '0/0'
      FROM walpost.endpoint_changes AS c, (SELECT walpost_internal.proven_snapshot($1) AS settled) AS s
     WHERE s.settled IS NOT NULL AND pg_visible_in_snapshot(c.changed_xid, s.settled)
       AND NOT EXISTS (SELECT FROM walpost.endpoint_positions AS p WHERE (p.slot, p.change_id) = ($1, c.change_id))
    ON CONFLICT DO NOTHING`;
  try {
    return (await db.query(sql, [slot])).rowCount ?? 0;
  } catch (error) {
    throw databaseError(error, 'noting changes of endpoints');
  }
}

/** Where the slot will begin to stream. */
export async function streamStart(db: Queries, slot: string): Promise<Lsn> {
  const sql = 'SELECT confirmed_flush_lsn::text AS lsn FROM pg_replication_slots WHERE slot_name = $1';
  try {
    return parseLsn((await db.query<{ lsn: string | null }>(sql, [slot])).rows[0]?.lsn ?? '') ?? LSN_ZERO;
  } catch (error) {
    throw databaseError(error, 'asking where the stream begins');
  }
}

/**
 * By endpoint, where its last change committed that an earlier connection has noted and that comes again from `start` on. The
 * cursor is written before the slot is told, so the stream may begin before what is settled.
 */
export async function changesComingAgain(db: Queries, slot: string, start: Lsn): Promise<ReadonlyMap<string, Lsn>> {
  const sql = `
    SELECT c.endpoint_id::text AS id, max(p.commit_lsn)::text AS lsn
      FROM walpost.endpoint_positions AS p JOIN walpost.endpoint_changes AS c USING (change_id)
     WHERE p.slot = $1 AND p.commit_lsn >= $2::pg_lsn GROUP BY c.endpoint_id`;
  try {
    const { rows } = await db.query<{ id: string; lsn: string }>(sql, [slot, formatLsn(start)]);
    return new Map(rows.map(({ id, lsn }) => [id, parseLsn(lsn) ?? LSN_ZERO]));
  } catch (error) {
    throw databaseError(error, 'reading changes of endpoints');
  }
}

/** False in a copy: what is said of the endpoints holds for another cluster, or another database. */
export async function endpointsAreOurs(db: Queries, systemIdentifier: string): Promise<boolean> {
  const sql = `
    SELECT i.system_identifier = $1
           AND i.database_oid = (SELECT d.oid FROM pg_database AS d WHERE d.datname = current_database()) AS ours
      FROM walpost.endpoint_installation AS i`;
  try {
    return (await db.query<{ ours: boolean }>(sql, [systemIdentifier])).rows[0]?.ours ?? true;
  } catch (error) {
    throw databaseError(error, 'reading whose endpoints these are');
  }
}

async function read(db: Queries, sql: string, values: readonly unknown[]): Promise<readonly KnownEndpoint[]> {
  try {
    const { rows } = await db.query<Row>(sql, [...values]);
    return rows.map(({ change, state, headers, ...row }) => ({
      ...row,
      secretsVersion: row.changeId,
      headers: headerTexts(headers),
      state: endpointState(change, state),
    }));
  } catch (error) {
    throw databaseError(error, 'reading the endpoints');
  }
}
