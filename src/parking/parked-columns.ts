/** Columns of walpost.parked: what goes into them from an event, and how an event comes out again. */
import type { Event, Origin } from '../event.ts';
import { formatLsn, parseLsn } from '../lsn.ts';
import { CANARY_TYPE } from '../reserved.ts';
import { storedEvent, type StoredEventRow } from '../stored-event.ts';
import { wireToText } from '../wire-text.ts';

type Value = string | number | null;

/** A row of the page query; `committed` in microseconds since 2000, `waited` in milliseconds since it was received. */
export interface ParkedRow extends StoredEventRow {
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
  ['expires_at', 'text', (event) => event.expiresAt],
  ['commit_lsn', 'pg_lsn', ({ origin }) => (origin.commitLsn === null ? null : formatLsn(origin.commitLsn))],
  ['ordinal', 'integer', (event) => event.ordinal],
  ['job', 'text', ({ origin }) => origin.job],
  ['job_row', 'text', (event) => event.jobRow ?? null],
  ['size', 'integer', (event) => event.size],
];

function settledBefore(): never {
  throw new Error('an event that is parked has settled before');
}

/**
 * The event of a row. It is settled and visible already; `now` is the clock's. Where a table of the application `isMapped`, none
 * of its events is a canary.
 */
export function eventOf(row: ParkedRow, now: number, isMapped: boolean): Event {
  const origin: Origin = {
    commitLsn: row.commit_lsn === null ? null : (parseLsn(row.commit_lsn) ?? null),
    xid: null,
    committedAtMicros: row.committed === null ? null : BigInt(row.committed),
    visible: true,
    receivedAt: now - Number(row.waited),
    carriesCanary: row.event_type === CANARY_TYPE && !isMapped,
    job: row.job,
    isSettled: true,
    expect: settledBefore,
    settle: settledBefore,
  };
  return { ...storedEvent(row, origin), ordinal: row.ordinal, size: row.size, parkedId: row.id };
}
