import { databaseError, RetryableError } from './errors.ts';
import { pauseFor } from './status.ts';

export interface RetryOptions {
  /** How often at most, with the first time; 5 by default. */
  readonly attempts?: number | undefined;
  /** Before the second attempt; it doubles up to 1 s, and a random part of it is waited. 20 by default. */
  readonly firstPauseMs?: number | undefined;
  readonly signal?: AbortSignal | undefined;
}

/**
 * Runs a whole transaction, and again when the server could not serialize it (40001) or broke a deadlock (40P01). `work`
 * begins and ends the transaction itself, and must be able to run more than once.
 */
export async function retryTransaction<Result>(
  work: (attempt: number) => Promise<Result>,
  { attempts = 5, firstPauseMs = 20, signal }: RetryOptions = {},
): Promise<Result> {
  for (let attempt = 1; ; attempt++) {
    signal?.throwIfAborted();
    try {
      return await work(attempt);
    } catch (error) {
      if (attempt >= attempts || !(databaseError(error) instanceof RetryableError)) throw error;
      await pauseFor(Math.random() * Math.min(firstPauseMs * 2 ** (attempt - 1), 1_000), signal);
    }
  }
}
