/** The small typed client of the application: what may be published, and where it goes. */
import { publish, withOrganization } from '@walpost/client';
import type pg from 'pg';

interface Payloads {
  'booking.created': { readonly guest: string; readonly nights: number };
  'seat.freed': { readonly seat: string };
  'payment.failed': { readonly customer: string; readonly amount: string };
}

export type EventType = keyof Payloads;
export const TARGETS = ['n8n', 'realtime', 'slack'] as const;
export type Target = (typeof TARGETS)[number];

export interface TargetedEvent<Type extends EventType = EventType> {
  readonly organizationId: string;
  readonly target: Target;
  readonly type: Type;
  readonly payload: Payloads[Type];
  /** Published again under this key, it is the same event: nothing is written. */
  readonly key: string;
}

/** Publishes in a transaction of its own. Where the application writes something too, it passes its own to `publish`. */
export async function publishEvent<Type extends EventType>(pool: pg.Pool, event: TargetedEvent<Type>): Promise<string> {
  const tx = await pool.connect();
  try {
    await tx.query('BEGIN');
    await withOrganization(tx, event.organizationId);
    const id = await publish(tx, {
      organizationId: event.organizationId,
      eventType: event.type,
      payload: event.payload,
      topic: 'bookings',
      target: event.target,
      idempotencyKey: event.key,
    });
    await tx.query('COMMIT');
    tx.release();
    return id;
  } catch (error) {
    tx.release(true);
    throw error;
  }
}
