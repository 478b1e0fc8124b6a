/**
 * An event as CloudEvents 1.0 in structured JSON. `data` is the payload as Postgres printed it.
 * https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/formats/json-format.md
 *
 * Fields without an attribute in CloudEvents become extensions, whose names may only have lower-case letters and digits.
 */
import { replayOf, sourceOf } from '../../envelope.ts';
import type { Event } from '../../event.ts';
import { formatLsn } from '../../lsn.ts';
import { formatMicros } from '../../pg-time.ts';
import { asWire, quoteJson, wireString, wireToText, type WireText } from '../../wire-text.ts';

export const CLOUDEVENT_TYPE = 'application/cloudevents+json';
export const CLOUDEVENTS_BATCH_TYPE = 'application/cloudevents-batch+json';

export function cloudEventOf(event: Event): WireText {
  const { origin } = event;
  return asWire(
    `{"specversion":"1.0","id":${quoteJson(event.eventId)},"source":${quoteJson(`/walpost/${encodeURIComponent(event.topic)}`)}` +
      `,"type":${quoteJson(event.eventType)}${optional('subject', subjectOf(event))}${optional('time', event.createdAt)}` +
      `,"datacontenttype":"application/json","organizationid":${quoteJson(event.organizationId)},"topic":${quoteJson(event.topic)}` +
      `,"eventversion":${event.eventVersion}${optional('target', event.target)}${optional('idempotencykey', event.idempotencyKey)}` +
      optional('committedat', origin.committedAtMicros === null ? null : formatMicros(origin.committedAtMicros)) +
      optional('lsn', origin.commitLsn === null ? null : formatLsn(origin.commitLsn)) +
      (event.ordinal === null ? '' : `,"ordinal":${event.ordinal}`) +
      `,"origin":"${sourceOf(origin)}"${optional('replay', replayOf(origin))}${tracePart(event.headers)},"data":${wireString(event.payload)}}`,
  );
}

/** A JSON array of CloudEvents, the batch format. */
export function cloudEventBatch(events: readonly Event[]): WireText {
  return asWire(`[${events.map((event) => wireString(cloudEventOf(event))).join(',')}]`);
}

function optional(name: string, value: string | null): string {
  return value === null || value === '' ? '' : `,"${name}":${quoteJson(value)}`;
}

/** `entity_type/entity_id`, or the half that is there. */
function subjectOf({ entityType, entityId }: Event): string | null {
  return entityType && entityId ? `${entityType}/${entityId}` : entityId || entityType;
}

/** The distributed tracing extension; the other headers have no place in CloudEvents. */
function tracePart(headers: WireText): string {
  if (!wireString(headers).includes('"trace')) return '';
  const parsed = JSON.parse(wireToText(headers)) as Record<string, unknown>;
  return ['traceparent', 'tracestate']
    .map((name) => optional(name, typeof parsed[name] === 'string' ? parsed[name] : null))
    .join('');
}
