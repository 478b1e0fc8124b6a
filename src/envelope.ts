/**
 * What leaves: the envelope of one event, and the body of one batch, the same for every sink.
 *
 * Both are wire text put together from pieces. `payload` and `headers` go in as Postgres printed them, never parsed and
 * printed again, so that a number of 20 digits or a trailing zero survives. The order of the keys is part of the contract.
 */
import { hash } from 'node:crypto';
import type { Event, Origin } from './event.ts';
import { formatLsn } from './lsn.ts';
import type { Batch } from './pipeline.ts';
import { asWire, quoteJson, quoteJsonOrNull, wireString, type WireText } from './wire-text.ts';

/**
 * One JSON object, built for each sink anew: an event that kept it would hold some thirty pieces of string until it
 * settles, and collecting those costs the process five times what building them again does.
 */
export function envelopeOf(event: Event): WireText {
  return asWire(
    `{"event_id":${quoteJson(event.eventId)},"event_type":${quoteJson(event.eventType)},"event_version":${event.eventVersion}` +
      `,"organization_id":${quoteJson(event.organizationId)},"topic":${quoteJson(event.topic)}` +
      `,"entity_type":${quoteJsonOrNull(event.entityType)},"entity_id":${quoteJsonOrNull(event.entityId)}` +
      `,"target":${quoteJsonOrNull(event.target)},"idempotency_key":${quoteJsonOrNull(event.idempotencyKey)}` +
      `,"payload":${wireString(event.payload)},"headers":${wireString(event.headers)}` +
      `,"created_at":${event.createdAt === null ? 'null' : `"${event.createdAt}"`}${originPart(event.origin)}${event.ordinal}` +
      (event.origin.commitLsn === null ? ',"replay":true}' : ',"replay":false}'),
  );
}

let lastOrigin: Origin | null = null;
let lastOriginPart = '';

/** From `committed_at` up to the ordinal: the same for all events of a transaction. */
function originPart(origin: Origin): string {
  if (origin !== lastOrigin) {
    const { committedAtMicros, commitLsn } = origin;
    const time = committedAtMicros === null ? 'null' : `"${formatMicros(committedAtMicros)}"`;
    const lsn = commitLsn === null ? 'null' : `"${formatLsn(commitLsn)}"`;
    lastOrigin = origin;
    lastOriginPart = `,"committed_at":${time},"lsn":${lsn},"ordinal":`;
  }
  return lastOriginPart;
}

const EPOCH_2000_SECONDS = Date.UTC(2000, 0, 1) / 1000;
let lastSecond = Number.NaN;
let lastSecondText = '';

/** Microseconds since 2000-01-01 UTC, as the wire protocol counts, in RFC 3339: `2026-11-20T14:00:00.130000Z`. */
export function formatMicros(microsSince2000: bigint): string {
  const fraction = Number(((microsSince2000 % 1_000_000n) + 1_000_000n) % 1_000_000n);
  const second = Number((microsSince2000 - BigInt(fraction)) / 1_000_000n);
  if (second !== lastSecond) {
    lastSecondText = new Date((second + EPOCH_2000_SECONDS) * 1000).toISOString().slice(0, 19);
    lastSecond = second;
  }
  return `${lastSecondText}.${String(fraction).padStart(6, '0')}Z`;
}

export interface BatchIdentity {
  readonly sink: string;
  /** The replay or redrive job that sends the batch; null for live events. */
  readonly job: string | null;
  readonly events: readonly Event[];
}

/**
 * Names a batch by what is in it: `batch_` and half of the SHA-256 of a JSON array of sink, job, organization and event
 * ids. The same batch has the same id after a restart; another grouping, or a replay, has another.
 */
export function batchId({ sink, job, events }: BatchIdentity): string {
  let text = `[${quoteJson(sink)},${quoteJsonOrNull(job)},${quoteJson(events[0]?.organizationId ?? '')}`;
  for (const event of events) text += `,${quoteJson(event.eventId)}`;
  return `batch_${hash('sha256', `${text}]`, 'hex').slice(0, 32)}`;
}

export interface BatchBody {
  readonly sink: string;
  readonly batch: Batch;
  /** By default the batch's own, for whoever has not worked it out already. */
  readonly id?: string;
}

/** `{"batch_id","organization_id","sink","attempt","events":[…]}` */
export function batchBody({ sink, batch, id }: BatchBody): WireText {
  const { events, organizationId, attempt } = batch;
  let text = `{"batch_id":${quoteJson(id ?? batchId({ sink, job: batch.job ?? null, events }))},"organization_id":${quoteJson(organizationId)}`;
  text += `,"sink":${quoteJson(sink)},"attempt":${attempt},"events":[`;
  let separator = '';
  for (const event of events) {
    text += separator + wireString(envelopeOf(event));
    separator = ',';
  }
  return asWire(`${text}]}`);
}
