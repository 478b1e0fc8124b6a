/** An event as a row of walpost.parked or walpost.dead_letters holds it. */
import type { Event, Origin } from './event.ts';
import { textToWire } from './wire-text.ts';

/** The columns that both tables have. */
export interface StoredEventRow {
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
  /** RFC 3339. */
  readonly created_at: string | null;
  /** RFC 3339. */
  readonly expires_at: string | null;
}

/** The event of a row. Its place in the stream, its size and its row are the table's to say. */
export function storedEvent(
  row: StoredEventRow,
  origin: Origin,
): Omit<Event, 'ordinal' | 'size' | 'jobRow' | 'parkedId' | 'otherHolders'> {
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
    expiresAt: row.expires_at,
    origin,
  };
}
