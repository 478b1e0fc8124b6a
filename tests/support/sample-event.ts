import type { Event } from '../../src/event.ts';
import type { Batch } from '../../src/pipeline.ts';
import * as shown from '../../src/sink/testing/sample-events.ts';
import { wireString } from '../../src/wire-text.ts';
import { plainOrigin } from './plain-origin.ts';

export interface SampleFields extends Partial<Omit<Event, 'payload' | 'headers' | 'envelope' | 'kind'>> {
  /** JSON text, as Postgres would print it. */
  readonly payload?: string;
  readonly headers?: string;
}

/** An event of the stream; every one has an id of its own. */
export function sampleEvent(fields: SampleFields = {}): Event {
  const sample = shown.sampleEvent(fields);
  const { payload, headers } = sample;
  return {
    ...sample,
    kind: 'event',
    expiresAt: fields.expiresAt ?? null,
    origin: fields.origin ?? plainOrigin(),
    size: fields.size ?? wireString(payload).length + wireString(headers).length + 100,
    parkedId: null,
  };
}

export function sampleBatch(events: readonly Event[], attempt = 1): Batch {
  return { organizationId: events[0]?.organizationId ?? '', events, attempt };
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
  'expiresAt',
  'origin',
  'ordinal',
  'size',
  'parkedId',
];

/** Its fields in an object of their own: an event of the stream has them cut from its row when they are asked for. */
export function fieldsOf(event: Event): Event {
  return Object.fromEntries(FIELDS.map((field) => [field, event[field]])) as unknown as Event;
}
