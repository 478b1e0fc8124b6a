import type { Envelope } from '../../vocabulary/envelope.ts';
import { jsonText } from './json-text.ts';
import { rowsOf, type Transaction } from './transaction.ts';

/** The fields of the envelope that an application gives; the others come from the database. */
type GivenField =
  | 'organization_id'
  | 'event_type'
  | 'topic'
  | 'entity_type'
  | 'entity_id'
  | 'target'
  | 'headers'
  | 'idempotency_key'
  | 'event_version';

type CamelCase<Name extends string> = Name extends `${infer Head}_${infer Tail}`
  ? `${Head}${Capitalize<CamelCase<Tail>>}`
  : Name;

type Given = { readonly [Name in GivenField as CamelCase<Name>]: Envelope[Name] };

/** One event. What is left out, or null, has the default of `walpost.publish`. */
export interface NewEvent<Payload = unknown>
  extends
    Pick<Given, 'organizationId' | 'eventType'>,
    Partial<{
      readonly [Name in Exclude<keyof Given, 'organizationId' | 'eventType'>]: Given[Name] | null | undefined;
    }> {
  /** Anything that has a form in JSON; bigints too. */
  readonly payload: Payload;
  /** From then on it is not sent any more: what is left of it becomes a dead letter. A text is what Postgres reads as a time. */
  readonly expiresAt?: Date | string | null | undefined;
}

const publishSql = (more: string): string => `
  SELECT walpost.publish(
    organization_id => $1::uuid, event_type => $2::text, payload => $3::jsonb, topic => $4::text, entity_type => $5::text,
    entity_id => $6::text, target => $7::text, headers => $8::jsonb, idempotency_key => $9::text, event_version => $10::integer${more}
  )::text AS event_id`;

const PUBLISH = publishSql('');
/** A text of its own: a database that was not migrated yet knows no such argument. */
const PUBLISH_EXPIRING = publishSql(', expires_at => $11::timestamptz');

const PUBLISH_MANY = `
  SELECT it.id::text AS event_id FROM walpost.publish_many($1::jsonb) WITH ORDINALITY AS it (id, n) ORDER BY it.n`;

/** Publishes in the transaction; returns the id of the event, or of the first one with the same idempotency key. */
export async function publish(tx: Transaction, event: NewEvent): Promise<string> {
  const { headers } = event;
  const expiresAt = timeText(event.expiresAt);
  const rows = await rowsOf<{ event_id: string }>(tx, expiresAt === undefined ? PUBLISH : PUBLISH_EXPIRING, [
    event.organizationId,
    event.eventType,
    jsonText(event.payload),
    event.topic ?? null,
    event.entityType ?? null,
    event.entityId ?? null,
    event.target ?? null,
    headers == null ? null : jsonText(headers),
    event.idempotencyKey ?? null,
    event.eventVersion ?? null,
    ...(expiresAt === undefined ? [] : [expiresAt]),
  ]);
  return idsOf(rows)[0] as string;
}

/** Publishes all of them with one statement, in their order; returns their ids in that order. */
export async function publishMany(tx: Transaction, events: readonly NewEvent[]): Promise<readonly string[]> {
  if (events.length === 0) return [];
  return idsOf(await rowsOf<{ event_id: string }>(tx, PUBLISH_MANY, [jsonText(events.map(argumentsOf))]));
}

/** By the names of the arguments of walpost.publish. */
function argumentsOf(event: NewEvent): object {
  return {
    organization_id: event.organizationId,
    event_type: event.eventType,
    payload: event.payload,
    topic: event.topic,
    entity_type: event.entityType,
    entity_id: event.entityId,
    target: event.target,
    headers: event.headers,
    idempotency_key: event.idempotencyKey,
    event_version: event.eventVersion,
    expires_at: timeText(event.expiresAt),
  };
}

function timeText(time: NewEvent['expiresAt']): string | undefined {
  return time instanceof Date ? time.toISOString() : (time ?? undefined);
}

function idsOf(rows: readonly { readonly event_id: string }[]): readonly string[] {
  return rows.map(({ event_id }) => event_id);
}
