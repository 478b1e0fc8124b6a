import type { Envelope } from '../../vocabulary/envelope.ts';
import { typePattern } from './type-pattern.ts';

/** What is done with an event. `transaction` is that of the store, undefined where the store has none. */
export type WebhookEventHandler<Payload = unknown, Transaction = undefined> = (
  event: Envelope<Payload>,
  transaction: Transaction,
) => Promise<unknown> | void;

/** By event type. `*` stands for any characters: `order.*` for all types that begin with `order.`, `*` for all. */
export type WebhookEventHandlers<Payloads, Transaction> = {
  readonly [Type in keyof Payloads]?: WebhookEventHandler<Payloads[Type], Transaction>;
};

type Found<Transaction> = (type: string) => WebhookEventHandler<unknown, Transaction> | undefined;

/** The handler of a type: the one of that name, else that of the longest pattern which fits. */
export function handlerLookup<Transaction>(handlers: object): Found<Transaction> {
  const entries = Object.entries(handlers as Record<string, WebhookEventHandler<unknown, Transaction> | undefined>);
  const named = new Map(entries);
  const patterns = entries
    .filter(([name]) => name.includes('*'))
    .sort(([one], [other]) => other.length - one.length)
    .map(([name, handler]) => ({ fits: typePattern(name), handler }));
  return (type) => named.get(type) ?? patterns.find(({ fits }) => fits(type))?.handler;
}
