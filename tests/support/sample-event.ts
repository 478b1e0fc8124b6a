import type { Event } from '../../src/event.ts';
import type { Batch } from '../../src/pipeline.ts';
import { textToWire } from '../../src/wire-text.ts';
import { plainOrigin } from './plain-origin.ts';

export interface SampleFields extends Partial<Omit<Event, 'payload' | 'headers' | 'envelope' | 'kind'>> {
  /** JSON text, as Postgres would print it. */
  readonly payload?: string;
  readonly headers?: string;
}

const ORGANIZATION = '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0001';
let made = 0;

/** An event of the stream; every one has an id of its own. */
export function sampleEvent(fields: SampleFields = {}): Event {
  const { payload = '{"n": 1}', headers = '{}', ...rest } = fields;
  const ordinal = made++;
  return {
    kind: 'event',
    eventId: `0193f0c4-0000-7000-8000-${String(ordinal).padStart(12, '0')}`,
    organizationId: ORGANIZATION,
    eventType: 'job.completed',
    eventVersion: 1,
    topic: 'cataloging',
    entityType: null,
    entityId: null,
    target: null,
    idempotencyKey: null,
    createdAt: '2026-11-20T14:00:00.123456Z',
    origin: plainOrigin(),
    ordinal,
    size: payload.length + headers.length + 100,
    ...rest,
    payload: textToWire(payload),
    headers: textToWire(headers),
    parkedId: null,
  };
}

export function sampleBatch(events: readonly Event[], attempt = 1): Batch {
  return { organizationId: events[0]?.organizationId ?? ORGANIZATION, events, attempt };
}

const FIELDS: readonly (keyof Event)[] = [
  'kind',
  'eventId',
  'organizationId',
  'eventType',
  'eventVersion',
  'topic',
  'entityType',
  'entityId',
  'target',
  'idempotencyKey',
  'payload',
  'headers',
  'createdAt',
  'origin',
  'ordinal',
  'size',
  'parkedId',
];

/** Its fields in an object of their own: an event of the stream has them cut from its row when they are asked for. */
export function fieldsOf(event: Event): Event {
  return Object.fromEntries(FIELDS.map((field) => [field, event[field]])) as unknown as Event;
}
