import type { DedupeOutcome, DedupeStore } from './dedupe-store.ts';

export interface MemoryDedupeOptions {
  /** How many events are remembered; the oldest is forgotten first. 100,000 when absent. */
  readonly maxEvents?: number;
  /** How long, in milliseconds. Two days when absent: longer than walpost tries by default. */
  readonly maxAge?: number;
  /** Milliseconds, for tests. */
  readonly now?: () => number;
}

const DAY = 86_400_000;

/** For one process, until it ends: a restart, or a second process, handles an event that is repeated again. */
export function memoryDedupe(options: MemoryDedupeOptions = {}): DedupeStore {
  const { maxEvents = 100_000, maxAge = 2 * DAY, now = Date.now } = options;
  /** Event id to the moment when it was handled, oldest first. */
  const handled = new Map<string, number>();
  const running = new Map<string, Promise<void>>();

  const forget = (): void => {
    for (const [id, moment] of handled) {
      if (handled.size <= maxEvents && now() - moment < maxAge) return;
      handled.delete(id);
    }
  };
  const run = async (id: string, work: () => Promise<void>): Promise<DedupeOutcome> => {
    const attempt = work();
    running.set(id, attempt);
    try {
      await attempt;
      handled.set(id, now());
      return 'handled';
    } finally {
      running.delete(id);
    }
  };

  return {
    once: async ({ event_id: id }, work) => {
      // Whoever comes second waits: only the end of the first tells whether it is a repeat.
      for (let first = running.get(id); first !== undefined; first = running.get(id))
        await first.catch(() => undefined);
      forget();
      return handled.has(id) ? 'repeated' : run(id, () => work(undefined));
    },
  };
}
