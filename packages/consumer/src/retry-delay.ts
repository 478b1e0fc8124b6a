export interface RetryDelayOptions {
  /** Attempts in a row that have failed, from 1 on. */
  readonly failures: number;
  readonly base: number;
  readonly most: number;
  /** What the other side asks for, in milliseconds. */
  readonly asked?: number | undefined;
  /** From 0 to 1. */
  readonly random: () => number;
}

/** Doubles with each failure. The upper half is random, so that clients which failed together do not come back together. */
export function retryDelay({ failures, base, most, asked = 0, random }: RetryDelayOptions): number {
  const full = Math.min(most, base * 2 ** Math.min(failures - 1, 30));
  return Math.max(asked, full / 2) + (random() * full) / 2;
}
