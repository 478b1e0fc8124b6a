import { textToWire } from '../../wire-text.ts';
import type { SinkBatch, SinkEvent } from '../custom-sink.ts';

/** Fields of an event; payload and headers as JSON text, as Postgres would print it. */
export interface SampleEventFields extends Partial<Omit<SinkEvent, 'payload' | 'headers'>> {
  readonly payload?: string;
  readonly headers?: string;
}

const ORGANIZATION = '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0001';
let made = 0;

/** An event of the stream; every one has an id of its own. */
export function sampleEvent(fields: SampleEventFields = {}): SinkEvent {
  const { payload = '{"n": 1}', headers = '{}', ...rest } = fields;
  const ordinal = made++;
  return {
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
    origin: { commitLsn: 0x16b3748n, committedAtMicros: 848_498_400_130_000n, job: null },
    ordinal,
    ...rest,
    payload: textToWire(payload),
    headers: textToWire(headers),
  };
}

/** A batch as the router hands it over. */
export function sampleBatch(events: readonly SinkEvent[], attempt = 1): SinkBatch {
  return { organizationId: events[0]?.organizationId ?? ORGANIZATION, events, attempt };
}
