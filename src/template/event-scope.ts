import { replayOf, sourceOf } from '../envelope.ts';
import type { Event } from '../event.ts';
import { formatLsn } from '../lsn.ts';
import { formatMicros } from '../pg-time.ts';
import { wireString, wireToText } from '../wire-text.ts';
import { parseExact } from './exact-json.ts';
import { TemplateFailure } from './template-failure.ts';

/** What a template may name: the fields of the envelope. */
export const EVENT_FIELDS = [
  'event_id',
  'event_type',
  'event_version',
  'organization_id',
  'topic',
  'entity_type',
  'entity_id',
  'target',
  'idempotency_key',
  'payload',
  'headers',
  'created_at',
  'committed_at',
  'lsn',
  'ordinal',
  'source',
  'replay',
] as const;

/** Fields whose inside only the application knows. */
export const OPEN_FIELDS: ReadonlySet<string> = new Set(['payload', 'headers']);

/** Characters of a payload that are parsed; a longer one would stop the process for too long. */
const MOST_PAYLOAD = 16 * 1024 ** 2;

export interface EventScope {
  readonly fields: Readonly<Record<(typeof EVENT_FIELDS)[number], unknown>>;
  /** Bytes of payload and headers. */
  readonly size: number;
}

/** Parses the payload, which nothing else in walpost does. Throws a TemplateFailure. */
export function scopeOf(event: Event): EventScope {
  const { origin } = event;
  const size = wireString(event.payload).length + wireString(event.headers).length;
  if (size > MOST_PAYLOAD)
    throw new TemplateFailure(`is not tried: the payload has more than ${MOST_PAYLOAD / 1024 ** 2} MiB`);
  const fields = {
    event_id: event.eventId,
    event_type: event.eventType,
    event_version: event.eventVersion,
    organization_id: event.organizationId,
    topic: event.topic,
    entity_type: event.entityType,
    entity_id: event.entityId,
    target: event.target,
    idempotency_key: event.idempotencyKey,
    payload: parsed(event.payload),
    headers: parsed(event.headers),
    created_at: event.createdAt,
    committed_at: origin.committedAtMicros === null ? null : formatMicros(origin.committedAtMicros),
    lsn: origin.commitLsn === null ? null : formatLsn(origin.commitLsn),
    ordinal: event.ordinal,
    source: sourceOf(origin),
    replay: replayOf(origin),
  };
  return { fields, size };
}

function parsed(json: Event['payload']): unknown {
  try {
    return parseExact(wireToText(json));
  } catch {
    throw new TemplateFailure('is not tried: the payload or the headers are no JSON');
  }
}
