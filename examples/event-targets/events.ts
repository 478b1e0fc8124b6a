/** The small typed client of the application: what may be published, and where it goes. */
import { createSupabasePublisher } from '@walpost/client/supabase';
import { createClient } from '@supabase/supabase-js';
import { z } from 'zod';

/** The event map. A payload that does not fit is an error before it is sent. */
const EVENTS = {
  'booking.created': z.object({ guest: z.string().min(1), nights: z.int().min(1) }),
  'seat.freed': z.object({ seat: z.string().min(1) }),
  'payment.failed': z.object({ customer: z.string().min(1), amount: z.string().regex(/^\d+\.\d\d$/) }),
};

export const TARGETS = ['n8n', 'realtime', 'slack'] as const;
export type Target = (typeof TARGETS)[number];

interface Addressed {
  readonly organizationId: string;
  readonly target: Target;
  /** Published again under this key, it is the same event: nothing is written. */
  readonly key: string;
}
export type TargetedEvent = {
  readonly [Type in keyof typeof EVENTS]: Addressed & {
    readonly type: Type;
    readonly payload: z.input<(typeof EVENTS)[Type]>;
  };
}[keyof typeof EVENTS];

export type Publish = (event: TargetedEvent) => Promise<string>;

/**
 * Publishes with supabase-js. Each event is a transaction of its own; where one belongs to another change, a function in SQL
 * writes both. The organization is that of the token, whatever an event says.
 *
 * @param url of the project
 * @param token of a member of the organization
 */
export function publisherOf(url: string, token: string): Publish {
  const supabase = createClient(url, token, { auth: { persistSession: false } });
  const publisher = createSupabasePublisher(supabase, EVENTS);
  return ({ organizationId, target, type, payload, key }) =>
    publisher.publish({
      organizationId,
      eventType: type,
      payload,
      topic: 'bookings',
      target,
      idempotencyKey: key,
    } as Parameters<typeof publisher.publish>[0]);
}
