/**
 * A closed list of the conditions that a person may have to act on, each with its cause and remedy.
 *
 * The policy says what the process does. `retry` reconnects with backoff. `operator` stops with exit code 1, because only a
 * person can repair it. `usage` stops with exit code 2. `fatal` is a defect, or a violation of the protocol by the server; it
 * stops at once, so that nothing is confirmed by mistake.
 */
export type ErrorPolicy = 'retry' | 'operator' | 'usage' | 'fatal';

export interface ErrorEntry {
  readonly policy: ErrorPolicy;
  readonly cause: string;
  readonly remedy: string;
}

export const entry = (policy: ErrorPolicy, cause: string, remedy: string): ErrorEntry => ({ policy, cause, remedy });

/** Where walpost may not decide it by itself: `source.on_slot_lost: stop`. */
export const HEAL_ONCE =
  'When it may send what is not proven as delivered: `walpost run --set source.on_slot_lost=heal` once. See docs/operations.md: a lost slot.';
