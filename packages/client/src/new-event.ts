import type { Envelope } from '../../vocabulary/envelope.ts';
import { jsonText } from './json-text.ts';
import type { Values } from './libraries.ts';

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

/** The arguments of walpost.publish that the event gives, by their names. */
export function argumentsOf(event: NewEvent): Readonly<Record<string, unknown>> {
  const { expiresAt } = event;
  const more = {
    topic: event.topic,
    entity_type: event.entityType,
    entity_id: event.entityId,
    target: event.target,
    headers: event.headers,
    idempotency_key: event.idempotencyKey,
    event_version: event.eventVersion,
    expires_at: expiresAt instanceof Date ? expiresAt.toISOString() : expiresAt,
  };
  return {
    organization_id: event.organizationId,
    event_type: event.eventType,
    payload: event.payload,
    ...Object.fromEntries(Object.entries(more).filter(([, value]) => value !== undefined && value !== null)),
  };
}

/** The types that Postgres reads the texts as. */
const TYPES: Readonly<Record<string, string>> = {
  organization_id: 'uuid',
  payload: 'jsonb',
  headers: 'jsonb',
  event_version: 'integer',
  expires_at: 'timestamptz',
};

/** A statement and its parameters; `payload` is the one that is the payload, which is turned into JSON once. */
interface Call {
  readonly text: string;
  readonly values: Values;
  readonly payload: string;
}

/**
 * A call with named arguments. An argument is named only where it is given, so that a database of an older release, which
 * does not have it yet, is not asked for it.
 */
export function callOf(name: 'publish' | 'emit', event: NewEvent): Call {
  const { payload: given, ...others } = argumentsOf(event);
  const payload = jsonText(given);
  const texts = Object.entries(others).map(([argument, value]): [string, string | null] => [
    argument,
    TYPES[argument] === 'jsonb' ? jsonText(value) : textOf(value as Parameters<typeof textOf>[0]),
  ]);
  const all = [...texts, ['payload', payload] as const];
  const list = all.map(([argument], n) => `${argument} => $${n + 1}::text::${TYPES[argument] ?? 'text'}`);
  return {
    text: `SELECT walpost.${name}(${list.join(', ')})::text AS event_id`,
    values: all.map(([, value]) => value),
    payload,
  };
}

/** All arguments as one object of JSON, for walpost.publish_many. */
export function argumentsTextOf(event: NewEvent): { readonly text: string; readonly payload: string } {
  const { payload: given, ...others } = argumentsOf(event);
  const payload = jsonText(given);
  return { text: `${jsonText(others).slice(0, -1)},"payload":${payload}}`, payload };
}

function textOf(value: string | number | null | undefined): string | null {
  return value == null ? null : `${value}`;
}
