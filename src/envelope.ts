/**
 * What leaves: the envelope of one event, and the body of one batch, the same for every sink.
 *
 * Both are wire text put together from pieces. `payload` and `headers` go in as Postgres printed them, never parsed and
 * printed again, so that a number of 20 digits or a trailing zero survives. The order of the keys is part of the contract.
 */
import { hash } from 'node:crypto';
import type { Event, Origin } from './event.ts';
import { formatLsn } from './lsn.ts';
import { formatMicros } from './pg-time.ts';
import type { Batch } from './pipeline.ts';
import { asWire, quoteJson, quoteJsonOrNull, wireString, type WireText } from './wire-text.ts';

type EnvelopeOrigin = Pick<Origin, 'commitLsn' | 'committedAtMicros' | 'job'>;

/** What an envelope is made of; walpost/sink shows sinks of others these fields and no more. */
export interface EnvelopeFields extends Pick<
  Event,
  | 'eventId'
  | 'eventType'
  | 'eventVersion'
  | 'organizationId'
  | 'topic'
  | 'entityType'
  | 'entityId'
  | 'target'
  | 'idempotencyKey'
  | 'payload'
  | 'headers'
  | 'createdAt'
  | 'ordinal'
> {
  readonly origin: EnvelopeOrigin;
}

/**
 * One JSON object, built for each sink anew: an event that kept it would hold some thirty pieces of string until it
 * settles, and collecting those costs the process five times what building them again does.
 */
export function envelopeOf(event: EnvelopeFields): WireText {
  return asWire(
    `{"event_id":${quoteJson(event.eventId)},"event_type":${quoteJson(event.eventType)},"event_version":${event.eventVersion}` +
      `,"organization_id":${quoteJson(event.organizationId)},"topic":${quoteJson(event.topic)}` +
      `,"entity_type":${quoteJsonOrNull(event.entityType)},"entity_id":${quoteJsonOrNull(event.entityId)}` +
      `,"target":${quoteJsonOrNull(event.target)},"idempotency_key":${quoteJsonOrNull(event.idempotencyKey)}` +
      `,"payload":${wireString(event.payload)},"headers":${wireString(event.headers)}` +
      `,"created_at":${event.createdAt === null ? 'null' : `"${event.createdAt}"`}${originPart(event.origin)}${event.ordinal}${lastOriginEnd}`,
  );
}

/** A row of the table that a job has found, or the stream. */
export function sourceOf({ commitLsn }: Pick<Origin, 'commitLsn'>): 'stream' | 'table' {
  return commitLsn === null ? 'table' : 'stream';
}

const REPLAY = 'replay-';

/**
 * The replay that an operator has asked for, as `walpost replay` prints it. Other jobs are none: what a healing or a redrive
 * sends is often a first delivery, and a receiver that skips replays would lose it.
 */
export function replayOf({ job }: Pick<Origin, 'job'>): string | null {
  return job?.startsWith(REPLAY) ? job : null;
}

let lastOrigin: EnvelopeOrigin | null = null;
let lastOriginPart = '';
let lastOriginEnd = '';

/** From `committed_at` up to the ordinal, and what follows it: the same for all events of a transaction. */
function originPart(origin: EnvelopeOrigin): string {
  if (origin !== lastOrigin) {
    const { committedAtMicros, commitLsn } = origin;
    const time = committedAtMicros === null ? 'null' : `"${formatMicros(committedAtMicros)}"`;
    const lsn = commitLsn === null ? 'null' : `"${formatLsn(commitLsn)}"`;
    lastOrigin = origin;
    lastOriginPart = `,"committed_at":${time},"lsn":${lsn},"ordinal":`;
    lastOriginEnd = `,"source":"${sourceOf(origin)}","replay":${quoteJsonOrNull(replayOf(origin))}}`;
  }
  return lastOriginPart;
}

export interface BatchIdentity {
  readonly sink: string;
  /** The replay or redrive job that sends the batch; null for live events. */
  readonly job: string | null;
  /** Absent for the own lane of the organization. */
  readonly lane?: string | undefined;
  readonly events: readonly Pick<Event, 'eventId' | 'organizationId'>[];
}

/**
 * Names a batch by what is in it: `batch_` and half of the SHA-256 of a JSON array of sink, job, organization and event
 * ids. The same batch has the same id after a restart; another grouping, or a replay, has another, and so has the same
 * grouping in another lane. The lane of one event alone (`order: none`) counts as that which the event has left.
 */
export function batchId({ sink, job, lane, events }: BatchIdentity): string {
  const organization = quoteJson(events[0]?.organizationId ?? '');
  const tenant =
    lane === undefined || lane === events[0]?.eventId ? organization : `[${organization},${quoteJson(lane)}]`;
  let text = `[${quoteJson(sink)},${quoteJsonOrNull(job)},${tenant}`;
  for (const event of events) text += `,${quoteJson(event.eventId)}`;
  return `batch_${hash('sha256', `${text}]`, 'hex').slice(0, 32)}`;
}

export interface BatchBody {
  readonly sink: string;
  readonly batch: Pick<Batch, 'organizationId' | 'lane' | 'attempt' | 'job'> & {
    readonly events: readonly EnvelopeFields[];
  };
  /** By default the batch's own, for whoever has not worked it out already. */
  readonly id?: string;
}

/** `{"batch_id","organization_id","sink","attempt","events":[…]}` */
export function batchBody({ sink, batch, id }: BatchBody): WireText {
  const { events, organizationId, attempt, lane } = batch;
  let text = `{"batch_id":${quoteJson(id ?? batchId({ sink, job: batch.job ?? null, lane, events }))},"organization_id":${quoteJson(organizationId)}`;
  text += `,"sink":${quoteJson(sink)},"attempt":${attempt},"events":[`;
  let separator = '';
  for (const event of events) {
    text += separator + wireString(envelopeOf(event));
    separator = ',';
  }
  return asWire(`${text}]}`);
}
