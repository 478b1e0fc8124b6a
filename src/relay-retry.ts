/** Connecting again and again: how long to wait, and which errors end it. */
import { pause, type Clock } from './clock.ts';
import { WalpostError } from './errors.ts';

const FIRST_WAIT = 250;
const LONGEST_WAIT = 15_000;
/** A connection that lived that long was a good one: the next failure starts over with short waits. */
const GOOD_AFTER = 30_000;

/** The ceiling doubles with each failure in a row; half of it is jitter, so that many relays do not come back in step. */
export function retryWait(failures: number, random: number): number {
  const ceiling = Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(failures - 1, 16));
  return ceiling * (0.5 + random / 2);
}

export interface RetryOptions {
  readonly clock: Clock;
  readonly signal: AbortSignal;
  readonly onRetry: (error: unknown, waitMs: number) => void;
  readonly random?: () => number;
}

/** Runs `attempt` until it returns or the signal aborts. Errors whose policy is not `retry` are thrown on. */
export async function keepTrying(attempt: () => Promise<void>, options: RetryOptions): Promise<void> {
  const { clock, signal, onRetry } = options;
  const random = options.random ?? Math.random;
  let failures = 0;
  while (!signal.aborted) {
    const begun = clock.now();
    try {
      return await attempt();
    } catch (error) {
      if (signal.aborted) return;
      if (!(error instanceof WalpostError) || error.policy !== 'retry') throw error;
      failures = clock.now() - begun >= GOOD_AFTER ? 1 : failures + 1;
      const wait = retryWait(failures, random());
      onRetry(error, wait);
      await pause(clock, wait, signal);
    }
  }
}
