import type { Envelope } from '../../vocabulary/envelope.ts';
import type { DedupeOutcome, DedupeStore } from './dedupe/dedupe-store.ts';
import type { WebhookEventHandler } from './event-handlers.ts';
import { PermanentError } from './permanent-error.ts';

/** What became of a batch, as the answer tells it. It holds ids and types, and nothing of a payload. */
export interface BatchOutcome {
  /** How many handlers have run to their end. */
  handled: number;
  /** Ids of events that were handled before. */
  readonly repeated: string[];
  /** Types without a handler, each once. */
  readonly unknown: string[];
  /** The event that ended the batch; those behind it were not looked at. */
  stopped?: { readonly event_id: string; readonly why: 'failed' | 'refused' | 'busy' };
}

export interface EventHandling<Transaction> {
  readonly handlerOf: (type: string) => WebhookEventHandler<unknown, Transaction> | undefined;
  readonly dedupe: DedupeStore<Transaction>;
  readonly refuseUnknown: boolean;
  readonly onError: (error: unknown, event: Envelope) => void;
}

/** One after the other, so that the order holds: what is behind an event that was not handled is not begun. */
export async function handleEvents<Transaction>(
  events: readonly Envelope[],
  handling: EventHandling<Transaction>,
): Promise<BatchOutcome> {
  const outcome: BatchOutcome = { handled: 0, repeated: [], unknown: [] };
  for (const event of events) {
    const { event_id: id, event_type: type } = event;
    const handler = handling.handlerOf(type);
    const end = handler === undefined ? 'unknown' : await handled(event, handler, handling);
    if (end === 'handled') outcome.handled += 1;
    else if (end === 'repeated') outcome.repeated.push(id);
    else if (end !== 'unknown') return { ...outcome, stopped: { event_id: id, why: end } };
    else {
      if (!outcome.unknown.includes(type)) outcome.unknown.push(type);
      if (handling.refuseUnknown) return { ...outcome, stopped: { event_id: id, why: 'refused' } };
    }
  }
  return outcome;
}

async function handled<Transaction>(
  event: Envelope,
  handler: WebhookEventHandler<unknown, Transaction>,
  { dedupe, onError }: EventHandling<Transaction>,
): Promise<DedupeOutcome | 'failed' | 'refused'> {
  try {
    return await dedupe.once(event, async (transaction) => void (await handler(event, transaction)));
  } catch (error) {
    onError(error, event);
    return error instanceof PermanentError ? 'refused' : 'failed';
  }
}
