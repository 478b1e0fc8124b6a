/** What the leader does now and then, beside delivering: each chore on its own schedule, never twice at once. */
import { pause, type Clock } from './clock.ts';
import { WalpostError } from './errors.ts';
import type { Logger } from './observe/log.ts';

export interface Chore {
  /** For the log. */
  readonly name: string;
  /** Milliseconds from the end of one run to the next. */
  readonly every: number;
  readonly run: (signal: AbortSignal) => Promise<unknown>;
}

export interface ChoresOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** A chore found out that the relay must not go on. */
  readonly onFatal: (error: WalpostError) => void;
}

/** Starts the chores; disposing the result ends them and waits for the one that is under way. */
export function startChores(chores: readonly Chore[], options: ChoresOptions): AsyncDisposable {
  const ending = new AbortController();
  const rounds = chores.map((chore) => repeat(chore, ending.signal, options));
  return {
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      await Promise.all(rounds);
    },
  };
}

async function repeat(chore: Chore, signal: AbortSignal, options: ChoresOptions): Promise<void> {
  const { clock, log, onFatal } = options;
  while (!signal.aborted) {
    await pause(clock, chore.every, signal);
    if (signal.aborted) return;
    try {
      await chore.run(signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof WalpostError && (error.policy !== 'retry' || error.code === 'LEADERSHIP_LOST')) {
        return onFatal(error);
      }
      log.warn({ err: error, chore: chore.name }, `${chore.name} failed and will be tried again`);
    }
  }
}
