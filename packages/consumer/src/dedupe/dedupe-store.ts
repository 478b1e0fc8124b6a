import type { Envelope } from '../../../vocabulary/envelope.ts';

/** `busy`: another request has the event in hand, and nobody knows yet how it ends. */
export type DedupeOutcome = 'handled' | 'repeated' | 'busy';

/** Remembers which events were handled. `Transaction` is what it hands to the handler. */
export interface DedupeStore<Transaction = undefined> {
  /**
   * Calls `work` unless the event was handled before, and remembers it once `work` has resolved. Rejects with what `work`
   * threw, or with an error of the store; the event is not remembered then.
   */
  once(event: Envelope, work: (transaction: Transaction) => Promise<void>): Promise<DedupeOutcome>;
}
