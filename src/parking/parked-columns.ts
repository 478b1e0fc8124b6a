/** Columns of walpost.parked: what goes into them from an event, and how an event comes out again. */
import type { Event } from '../event.ts';
import { formatLsn, parseLsn } from '../lsn.ts';
import { textToWire, wireToText } from '../wire-text.ts';

type Value = string | number | null;

/** A row of the page query; `committed` in microseconds since 2000, `waited` in milliseconds since it was received. */
export interface ParkedRow {
  readonly id: string;
  readonly organization_id: string;
  readonly event_id: string;
  readonly event_type: string;
  readonly event_version: number;
  readonly topic: string;
  readonly entity_type: string | null;
  readonly entity_id: string | null;
  readonly target: string | null;
  readonly idempotency_key: string | null;
  readonly payload: string;
  readonly headers: string;
  readonly created_at: string | null;
  readonly committed: string | null;
  readonly commit_lsn: string | null;
  readonly ordinal: number | null;
  readonly job: string | null;
  readonly size: number;
  readonly waited: string;
}

/** What is stored as it is: name, type of the array that carries it, and where the value comes from. */
export const EVENT_COLUMNS: readonly (readonly [name: string, type: string, valueOf: (event: Event) => Value])[] = [
  ['organization_id', 'text', (event) => event.organizationId],
  ['event_id', 'text', (event) => event.eventId],
  ['event_type', 'text', (event) => event.eventType],
  ['event_version', 'integer', (event) => event.eventVersion],
  ['topic', 'text', (event) => event.topic],
  ['entity_type', 'text', (event) => event.entityType],
  ['entity_id', 'text', (event) => event.entityId],
  ['target', 'text', (event) => event.target],
  ['idempotency_key', 'text', (event) => event.idempotencyKey],
  ['payload', 'text', (event) => wireToText(event.payload)],
  ['headers', 'text', (event) => wireToText(event.headers)],
  ['created_at', 'text', (event) => event.createdAt],
  ['commit_lsn', 'pg_lsn', ({ origin }) => (origin.commitLsn === null ? null : formatLsn(origin.commitLsn))],
  ['ordinal', 'integer', (event) => event.ordinal],
  ['job', 'text', ({ origin }) => origin.job],
  ['job_row', 'text', (event) => event.jobRow ?? null],
  ['size', 'integer', (event) => event.size],
];

/** The event of a row. It is settled and visible already; `now` is the clock's. */
export function eventOf(row: ParkedRow, now: number): Event {
  const commitLsn = row.commit_lsn === null ? null : (parseLsn(row.commit_lsn) ?? null);
  return {
    kind: 'event',
    eventId: row.event_id,
    organizationId: row.organization_id,
    eventType: row.event_type,
    eventVersion: row.event_version,
    topic: row.topic,
    entityType: row.entity_type,
    entityId: row.entity_id,
    target: row.target,
    idempotencyKey: row.idempotency_key,
    payload: textToWire(row.payload),
    headers: textToWire(row.headers),
    createdAt: row.created_at,
    origin: {
      commitLsn,
      xid: null,
      committedAtMicros: row.committed === null ? null : BigInt(row.committed),
      unsettled: 0,
      carried: true,
      endLsn: null,
      visible: true,
      receivedAt: now - Number(row.waited),
      job: row.job,
    },
    ordinal: row.ordinal,
    size: row.size,
    parkedId: row.id,
  };
}
