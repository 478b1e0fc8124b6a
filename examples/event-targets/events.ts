/** The small typed client of the application: what may be published, and where it goes. */
import type { EventOf, PayloadsOf } from '@walpost/client';
import { createSupabasePublisher } from '@walpost/client/supabase';
import { createClient } from '@supabase/supabase-js';
import { z } from 'zod';

const topic = 'bookings';

/** The event map. A payload that does not fit is an error before it is sent. */
const EVENTS = {
  'booking.created': { schema: z.object({ guest: z.string().min(1), nights: z.int().min(1) }), topic },
  'seat.freed': { schema: z.object({ seat: z.string().min(1) }), topic },
  'payment.failed': {
    schema: z.object({ customer: z.string().min(1), amount: z.string().regex(/^\d+\.\d\d$/) }),
    topic,
  },
};

export const TARGETS = ['n8n', 'realtime', 'slack'] as const;
export type Target = (typeof TARGETS)[number];

/** Published again under its key it is the same event: nothing is written. */
export type TargetedEvent = EventOf<PayloadsOf<typeof EVENTS>> & {
  readonly target: Target;
  readonly idempotencyKey: string;
};

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
  return createSupabasePublisher(supabase, EVENTS).publish;
}
