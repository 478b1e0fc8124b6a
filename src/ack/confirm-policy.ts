import type { Lsn } from '../lsn.ts';

/** Confirmations that settled events caused follow each other at this distance at least. */
export const CONFIRM_INTERVAL_MS = 200;
/** A keepalive or a foreign transaction alone is worth a confirmation once it frees this much WAL … */
export const KEEPALIVE_BYTES = 8 * 1024 * 1024;
/** … or this much after a while. Below it the cursor rests: its own row would make the WAL for the next advance. */
export const KEEPALIVE_IDLE_BYTES = 64 * 1024;
export const KEEPALIVE_IDLE_MS = 10_000;

export interface ConfirmState {
  readonly watermark: Lsn;
  /** The watermark as transactions with events of ours moved it. */
  readonly settledTransactions: Lsn;
  readonly confirmed: Lsn;
  readonly confirmedAt: number;
  readonly now: number;
}

/** Milliseconds until a confirmation is due: 0 is now, undefined is not before something moves. */
export function confirmDelay(state: ConfirmState): number | undefined {
  if (state.watermark <= state.confirmed) return undefined;
  const since = state.now - state.confirmedAt;
  if (state.settledTransactions > state.confirmed) return Math.max(0, CONFIRM_INTERVAL_MS - since);
  const gain = state.watermark - state.confirmed;
  if (gain >= KEEPALIVE_BYTES) return Math.max(0, CONFIRM_INTERVAL_MS - since);
  if (gain >= KEEPALIVE_IDLE_BYTES) return Math.max(0, KEEPALIVE_IDLE_MS - since);
  return undefined;
}
