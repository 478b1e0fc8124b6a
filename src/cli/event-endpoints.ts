/** Which endpoints of customers an event was for: those that asked for it when it was created. */
import type pg from 'pg';
import { endpointSinks } from '../config/endpoint-sinks.ts';
import type { Config } from '../config/schema.ts';
import { endpointState } from '../endpoint.ts';
import { EndpointDirectory, type KnownEndpoint } from '../endpoints/directory.ts';
import { formerNames } from '../endpoints/former-names.ts';
import type { StoryFields } from '../parking/event-story.ts';
import { databaseError } from '../postgres/database-error.ts';
import { OWN_TABLE } from '../postgres/own-table.ts';
import { ENDPOINT_TEST_TYPE } from '../reserved.ts';

/**
 * Of each endpoint that the organization has, or had then, the last change until then, or of all without a time; a change of null
 * where the changes of that time were pruned. $2 is null for a table of the application.
 */
const UNTIL = `
  SELECT e.endpoint_id::text AS "endpointId", last.sink, last.organization_id::text AS "organizationId", last.event_types AS "eventTypes",
         last.change, last.state
    FROM (SELECT endpoint_id, created_at FROM walpost.endpoints WHERE organization_id = $1::uuid
           UNION ALL
          SELECT r.endpoint_id, (SELECT a.changed_at FROM walpost.endpoint_changes AS a WHERE a.endpoint_id = r.endpoint_id AND a.change = 'added')
            FROM walpost.endpoint_changes AS r
           WHERE r.organization_id = $1::uuid AND r.change = 'removed' AND r.changed_at > $2::timestamptz) AS e
         LEFT JOIN LATERAL (
           SELECT c.* FROM (SELECT sink, organization_id, event_types, change, state, change_id FROM walpost.endpoint_changes
                             WHERE endpoint_id = e.endpoint_id AND ($2::text IS NULL OR changed_at <= $2::timestamptz)) AS c
            ORDER BY c.change_id DESC LIMIT 1) AS last ON true
   WHERE last.change IS NOT NULL OR $2::text IS NULL OR e.created_at IS NULL OR e.created_at <= $2::timestamptz`;
/**
 * Whether an endpoint may have asked that the changes do not show: they are kept for some days, also of those that were removed. And
 * their times are those of the writing, while the relay goes by commits: around a change it cannot be told.
 */
const DOUBT = `
  SELECT $2::text IS NULL
      OR $2::timestamptz < now() - make_interval(secs => 3600 * walpost_internal.setting('delivery_log_hours', 168)::float8)
      OR EXISTS (SELECT FROM walpost.endpoint_changes
                  WHERE organization_id = $1::uuid
                    AND changed_at BETWEEN $2::timestamptz - interval '1 minute' AND $2::timestamptz + interval '1 minute') AS doubt`;
/** Which endpoints lack events of that time. Between the enabling and the recovery they lack none, but have still missed before. */
const MISSED = `
  SELECT e.endpoint_id::text AS id FROM walpost.endpoints AS e
   WHERE e.organization_id = $1::uuid AND e.missed_since <= $2::timestamptz AND (e.state = 'disabled' OR e.state_changed_at >= $2::timestamptz)`;
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

interface ChangeRow {
  readonly endpointId: string;
  readonly sink: string;
  readonly organizationId: string;
  readonly eventTypes: readonly string[];
  readonly change: string | null;
  readonly state: string;
}

interface Found {
  readonly endpoints: readonly KnownEndpoint[];
  /** Others may have asked too. */
  readonly isDoubtful: boolean;
  readonly missed: ReadonlySet<string>;
}
const NONE: Found = { endpoints: [], isDoubtful: false, missed: new Set() };

interface Asked {
  readonly fields: StoryFields | null;
  /** The sinks that the routes name. */
  readonly routed: readonly string[];
}

export interface EndpointsAsked {
  /** Of each sink that has endpoints their ids; null where it cannot be known whether there were any. */
  readonly asked: ReadonlyMap<string, readonly string[] | null>;
  /** The endpoints that were disabled at that time, or have lost what was parked for them, and have not been recovered since. */
  readonly missed: ReadonlySet<string>;
}

export async function endpointsAsked(
  pool: pg.Pool,
  { source, sinks }: Config,
  { fields, routed }: Asked,
): Promise<EndpointsAsked> {
  const having = [...endpointSinks(sinks)];
  const { organization_id: organizationId, event_type: eventType } = fields ?? {};
  if (having.length === 0 || eventType == null || organizationId == null)
    return { asked: new Map(having.map((sink) => [sink, null])), missed: NONE.missed };
  const isOwn = source.table === OWN_TABLE;
  // In a table of the application the column may have any type.
  const until = isOwn ? (fields?.created_at ?? null) : null;
  const directory = new EndpointDirectory(formerNames(sinks), !isOwn);
  const found = UUID.test(organizationId) ? await endpointsUntil(pool, organizationId, until) : NONE;
  directory.reset(found.endpoints);
  const event = {
    organizationId,
    eventType,
    entityType: fields?.entity_type ?? null,
    entityId: fields?.entity_id ?? null,
  };
  const isFor = (sink: string): boolean => routed.includes(sink) || (isOwn && eventType === ENDPOINT_TEST_TYPE);
  const idsAt = (sink: string): readonly string[] | null => {
    const ids = isFor(sink) ? directory.lanesFor(sink, event) : null;
    return ids?.length === 0 && found.isDoubtful ? null : ids;
  };
  return { asked: new Map(having.map((sink) => [sink, idsAt(sink)])), missed: found.missed };
}

async function endpointsUntil(pool: pg.Pool, organizationId: string, until: string | null): Promise<Found> {
  const values = [organizationId, until];
  try {
    const { rows } = await pool.query<ChangeRow & object>(UNTIL, values);
    const doubts = await pool.query<{ doubt: boolean }>(DOUBT, values);
    const missed = await pool.query<{ id: string }>(MISSED, values);
    const endpoints = rows.flatMap(({ change, state, ...row }) =>
      change === null ? [] : [{ ...NO_TARGET, ...row, state: endpointState(change, state) }],
    );
    const isDoubtful = endpoints.length < rows.length || doubts.rows[0]?.doubt !== false;
    return { endpoints, isDoubtful, missed: new Set(missed.rows.map(({ id }) => id)) };
  } catch (error) {
    throw databaseError(error, 'reading the endpoints of the organization');
  }
}

/** Where it is reached does not matter here. */
const NO_TARGET = { url: '', headers: {}, maxPerSecond: null, changeId: '0', secretsVersion: '0' };
