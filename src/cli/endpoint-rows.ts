/** walpost.endpoints as operators see them. No secret is read here, and of headers the names alone. */
import type pg from 'pg';
import { rfc3339Sql } from '../pg-time.ts';
import { databaseError } from '../postgres/database-error.ts';

export const ENDPOINT_STATES = ['enabled', 'paused', 'disabled'] as const;

/** What is left out does not restrict. */
export interface EndpointFilter {
  readonly organization?: string | undefined;
  readonly sink?: string | undefined;
  readonly state?: string | undefined;
  /** Only those whose last attempts were not accepted. */
  readonly failing?: boolean | undefined;
}

export interface EndpointRow {
  readonly endpoint_id: string;
  readonly sink: string;
  readonly organization_id: string;
  readonly host: string;
  readonly state: string;
  readonly state_reason: string | null;
  readonly state_changed_at: string;
  readonly missed_since: string | null;
  readonly failing_since: string | null;
  readonly attempts: number | null;
  readonly code: string | null;
  readonly reason: string | null;
  readonly next_try_at: string | null;
  /** Up to 100. */
  readonly parked: number;
  readonly parked_more: boolean;
}

export interface EndpointDetails extends EndpointRow {
  readonly url: string;
  readonly event_types: readonly string[];
  readonly header_names: readonly string[];
  readonly max_per_second: string | null;
  readonly description: string | null;
  readonly created_at: string;
  readonly updated_at: string;
  readonly dead_letters: number;
}

export interface EndpointChangeRow {
  readonly change: string;
  readonly state: string;
  readonly host: string;
  readonly changed_at: string;
}

const time = (column: string): string => `${rfc3339Sql(`h.${column}`)} AS ${column}`;
const COLUMNS = `h.endpoint_id::text, h.sink, h.organization_id, h.host, h.state, h.state_reason, ${time('state_changed_at')}, ${time('missed_since')},
  ${time('failing_since')}, h.attempts, h.code, h.reason, ${time('next_try_at')}, h.parked::int, h.parked_more`;

const WHERE = `($1::text IS NULL OR h.organization_id = $1) AND ($2::text IS NULL OR h.sink = $2) AND ($3::text IS NULL OR h.state = $3)
  AND ($4::boolean IS NOT TRUE OR h.failing_since IS NOT NULL)`;

function valuesOf({ organization, sink, state, failing }: EndpointFilter): unknown[] {
  return [organization ?? null, sink ?? null, state ?? null, failing ?? null];
}

/** The oldest first: an id begins with the time at which it was made. */
export function listEndpoints(pool: pg.Pool, filter: EndpointFilter, limit: number): Promise<readonly EndpointRow[]> {
  const sql = `SELECT ${COLUMNS} FROM walpost.endpoint_health AS h WHERE ${WHERE} ORDER BY h.endpoint_id LIMIT $5`;
  return ask<EndpointRow & object>(pool, sql, [...valuesOf(filter), limit]);
}

export async function countEndpoints(pool: pg.Pool, filter: EndpointFilter): Promise<number> {
  const sql = `SELECT count(*)::int AS count FROM walpost.endpoint_health AS h WHERE ${WHERE}`;
  return (await ask<{ count: number }>(pool, sql, valuesOf(filter)))[0]?.count ?? 0;
}

/** Undefined when there is none with this id. */
export async function readEndpoint(pool: pg.Pool, id: string): Promise<EndpointDetails | undefined> {
  const sql = `
    SELECT ${COLUMNS}, e.url, e.event_types, ARRAY(SELECT jsonb_object_keys(e.headers) ORDER BY 1) AS header_names,
           e.max_per_second::text, e.description, ${rfc3339Sql('e.created_at')} AS created_at, ${rfc3339Sql('e.updated_at')} AS updated_at,
           (SELECT count(*)::int FROM (SELECT FROM walpost.dead_letters AS d
             WHERE d.organization_id = h.organization_id AND d.sink = h.sink AND d.lane = $1 LIMIT 1000) AS first) AS dead_letters
      FROM walpost.endpoint_health AS h JOIN walpost.endpoints AS e USING (endpoint_id)
     WHERE h.endpoint_id = walpost_internal.uuid_or_null($1)`;
  return (await ask<EndpointDetails & object>(pool, sql, [id]))[0];
}

/** The newest first. */
export function readEndpointChanges(pool: pg.Pool, id: string, limit: number): Promise<readonly EndpointChangeRow[]> {
  const sql = `
    SELECT c.change, c.state, walpost_internal.url_host(c.url) AS host, ${rfc3339Sql('c.changed_at')} AS changed_at
      FROM walpost.endpoint_changes AS c WHERE c.endpoint_id = $1::uuid ORDER BY c.change_id DESC LIMIT $2`;
  return ask<EndpointChangeRow & object>(pool, sql, [id, limit]);
}

async function ask<R extends pg.QueryResultRow>(pool: pg.Pool, sql: string, values: unknown[]): Promise<R[]> {
  try {
    return (await pool.query<R>(sql, values)).rows;
  } catch (error) {
    throw databaseError(error, 'reading endpoints');
  }
}
