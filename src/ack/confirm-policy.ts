import type { Lsn } from '../lsn.ts';

/** Confirmations that settled events caused follow each other at this distance at least. */
export const CONFIRM_INTERVAL_MS = 200;
/** A keepalive or a foreign transaction alone is worth a confirmation once it frees this much WAL … */
export const KEEPALIVE_BYTES = 8 * 1024 * 1024;
/** … or this much, when the last confirmation is KEEPALIVE_IDLE_MS old. */
export const KEEPALIVE_IDLE_BYTES = 64 * 1024;
export const KEEPALIVE_IDLE_MS = 10_000;
/**
 * Follow-ups: confirmations of smaller gains, at most this many after a confirmation that was worth it. A slot releases WAL
 * when it has been confirmed beyond a record that the server writes some 15 s after the last change (a list of running
 * transactions). After the follow-ups nothing is confirmed until events come, since each cursor row makes new WAL itself.
 */
export const FOLLOW_UPS = 4;

export interface ConfirmProgress {
  readonly watermark: Lsn;
  /** The watermark as transactions with events of ours moved it. */
  readonly settledTransactions: Lsn;
  readonly confirmed: Lsn;
}

export interface ConfirmState extends ConfirmProgress {
  readonly confirmedAt: number;
  /** Confirmations since the last that was worth one. */
  readonly followUps: number;
  readonly now: number;
}

/** Milliseconds until a confirmation is due: 0 is now, undefined is not before something moves. */
export function confirmDelay(state: ConfirmState): number | undefined {
  const gain = state.watermark - state.confirmed;
  if (gain <= 0) return undefined;
  const since = state.now - state.confirmedAt;
  if (state.settledTransactions > state.confirmed || gain >= KEEPALIVE_BYTES) return left(CONFIRM_INTERVAL_MS, since);
  return isWorthIt(state) || state.followUps < FOLLOW_UPS ? left(KEEPALIVE_IDLE_MS, since) : undefined;
}

/** Whether confirming now is more than a follow-up. */
export function isWorthIt({ watermark, settledTransactions, confirmed }: ConfirmProgress): boolean {
  return settledTransactions > confirmed || watermark - confirmed >= KEEPALIVE_IDLE_BYTES;
}

function left(wait: number, since: number): number {
  return Math.max(0, wait - since);
}
