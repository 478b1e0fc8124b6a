/** The application at work: events at a steady rate, each published until the database has taken it. */
import { setTimeout as pause } from 'node:timers/promises';
import type { Publish, Target, TargetedEvent } from './events.ts';
import { ORGANIZATIONS } from './organizations.ts';

export interface Published {
  readonly id: string;
  readonly target: Target;
  /** From the call to the commit, of the try that was accepted. */
  readonly tookMs: number;
}

const TRY_AGAIN_MS = 100;
/** Slack takes one message a second, so few events go there. */
const SLACK_EVERY = 200;

let sequence = 0;

/** @param seconds how long */
export async function publishAtRate(
  publish: Publish,
  perSecond: number,
  seconds: number,
): Promise<readonly Published[]> {
  const begun = performance.now();
  const published: Promise<Published>[] = [];
  for (let n = 0; n < perSecond * seconds; n += 1) {
    await pause(Math.max(0, begun + (n * 1000) / perSecond - performance.now()));
    published.push(publishUntilAccepted(publish, nextEvent()));
  }
  return Promise.all(published);
}

function nextEvent(): TargetedEvent {
  sequence += 1;
  const idempotencyKey = `traffic ${sequence}`;
  const at = (n: number): string => ORGANIZATIONS[n % ORGANIZATIONS.length] ?? '';
  if (sequence % SLACK_EVERY === 0) {
    const payload = { customer: idempotencyKey, amount: '12.50' };
    return { organizationId: at(0), target: 'slack', eventType: 'payment.failed', payload, idempotencyKey };
  }
  if (sequence % 2 === 0) {
    const payload = { seat: idempotencyKey };
    return { organizationId: at(sequence / 2), target: 'realtime', eventType: 'seat.freed', payload, idempotencyKey };
  }
  const payload = { guest: idempotencyKey, nights: 2 };
  return { organizationId: at(sequence), target: 'n8n', eventType: 'booking.created', payload, idempotencyKey };
}

/** With the same key each time: an attempt whose answer was lost is not a second event. */
async function publishUntilAccepted(publish: Publish, event: TargetedEvent): Promise<Published> {
  for (;;) {
    const begun = performance.now();
    try {
      const id = await publish(event);
      return { id, target: event.target, tookMs: performance.now() - begun };
    } catch {
      await pause(TRY_AGAIN_MS);
    }
  }
}
