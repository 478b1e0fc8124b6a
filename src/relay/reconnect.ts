/** Reconnecting: how long to wait after a failure, and which errors end the relay. */
import { pause, type Clock } from '../clock.ts';
import { WalpostError } from '../errors.ts';
import { databaseError } from '../postgres/database-error.ts';

const FIRST_WAIT = 250;
const LONGEST_WAIT = 15_000;
/** After a connection that lived this long, waits begin short again. */
const GOOD_AFTER = 30_000;

/** The ceiling doubles with each failure in a row; half of it is jitter, so that many relays do not reconnect in step. */
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
    } catch (thrown) {
      if (signal.aborted) return;
      const error = databaseError(thrown); // a connection that breaks in a statement of its own is no defect
      if (!(error instanceof WalpostError) || error.policy !== 'retry') throw error;
      failures = clock.now() - begun >= GOOD_AFTER ? 1 : failures + 1;
      const wait = retryWait(failures, random());
      onRetry(error, wait);
      await pause(clock, wait, signal);
    }
  }
}
