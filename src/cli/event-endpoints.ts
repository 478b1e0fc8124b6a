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

/** Of each endpoint of the organization the last change until then; the last of all without a time. */
const UNTIL = `
  SELECT DISTINCT ON (c.endpoint_id) c.endpoint_id::text AS "endpointId", c.sink, c.organization_id::text AS "organizationId",
         c.event_types AS "eventTypes", c.change, c.state
    FROM walpost.endpoint_changes AS c
   WHERE c.endpoint_id IN (SELECT e.endpoint_id FROM walpost.endpoints AS e WHERE e.organization_id = $1::uuid)
     AND ($2::text IS NULL OR c.changed_at <= $2::timestamptz)
   ORDER BY c.endpoint_id, c.change_id DESC`;
const UUID = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

interface ChangeRow {
  readonly endpointId: string;
  readonly sink: string;
  readonly organizationId: string;
  readonly eventTypes: readonly string[];
  readonly change: string;
  readonly state: string;
}

interface Asked {
  readonly fields: StoryFields | null;
  /** The sinks that the routes name. */
  readonly routed: readonly string[];
}

/** Of each sink that has endpoints their ids; null where it cannot be known, since the event has lost its fields. */
export async function endpointsAsked(
  pool: pg.Pool,
  { source, sinks }: Config,
  { fields, routed }: Asked,
): Promise<ReadonlyMap<string, readonly string[] | null>> {
  const having = [...endpointSinks(sinks)];
  const { organization_id: organizationId, event_type: eventType } = fields ?? {};
  if (having.length === 0 || eventType == null || organizationId == null)
    return new Map(having.map((sink) => [sink, null]));
  const isOwn = source.table === OWN_TABLE;
  // In a table of the application the column may have any type.
  const until = isOwn ? (fields?.created_at ?? null) : null;
  const directory = new EndpointDirectory(formerNames(sinks), !isOwn);
  if (UUID.test(organizationId)) directory.reset(await endpointsUntil(pool, organizationId, until));
  const event = {
    organizationId,
    eventType,
    entityType: fields?.entity_type ?? null,
    entityId: fields?.entity_id ?? null,
  };
  const isFor = (sink: string): boolean => routed.includes(sink) || (isOwn && eventType === ENDPOINT_TEST_TYPE);
  return new Map(having.map((sink) => [sink, isFor(sink) ? directory.lanesFor(sink, event) : null]));
}

async function endpointsUntil(pool: pg.Pool, organizationId: string, until: string | null): Promise<KnownEndpoint[]> {
  try {
    const { rows } = await pool.query<ChangeRow & object>(UNTIL, [organizationId, until]);
    return rows.map(({ change, state, ...row }) => ({ ...NO_TARGET, ...row, state: endpointState(change, state) }));
  } catch (error) {
    throw databaseError(error, 'reading the endpoints of the organization');
  }
}

/** Where it is reached does not matter here. */
const NO_TARGET = { url: '', headers: {}, maxPerSecond: null, changeId: '0', secretsVersion: '0' };
