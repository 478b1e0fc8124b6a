/** Periodic work of the leader beside delivering: each chore has its own schedule, and never runs twice at once. */
import { setMaxListeners } from 'node:events';
import { pause, type Clock } from '../clock.ts';
import { WalpostError } from '../errors.ts';
import type { Logger } from '../observe/log.ts';

export interface Chore {
  /** For the log. */
  readonly name: string;
  /** Milliseconds from the end of one run to the next. */
  readonly every: number;
  /** Milliseconds to the first run; as `every` when it is left out. */
  readonly first?: number;
  readonly run: (signal: AbortSignal) => Promise<unknown>;
}

export interface ChoresOptions {
  readonly clock: Clock;
  readonly log: Logger;
  /** A chore failed with an error that ends the connection or the relay. */
  readonly onFatal: (error: WalpostError) => void;
  /** A chore failed, and will be tried again. */
  readonly onFailed?: (name: string) => void;
}

/** Starts the chores. Disposing the result ends them, and waits for those that are running. */
export function startChores(chores: readonly Chore[], options: ChoresOptions): AsyncDisposable {
  const ending = new AbortController();
  setMaxListeners(0, ending.signal); // each chore waits for it
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
  for (let wait = chore.first ?? chore.every; !signal.aborted; wait = chore.every) {
    await pause(clock, wait, signal);
    if (signal.aborted) return;
    try {
      await chore.run(signal);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof WalpostError && (error.policy !== 'retry' || error.code === 'LEADERSHIP_LOST')) {
        return onFatal(error);
      }
      options.onFailed?.(chore.name);
      const remedy = error instanceof WalpostError ? { remedy: error.remedy } : {};
      log.warn({ err: error, chore: chore.name, ...remedy }, `${chore.name} failed and will be tried again`);
    }
  }
}
