/** Accepts dead letters and calls back when they are durable. */
import type { Clock } from '../clock.ts';
import type { Logger } from '../observe/log.ts';
import { stallRemedy } from '../observe/stall-remedy.ts';
import type { Stall } from '../observe/status-report.ts';
import type { DeadLetter, DeadLetterOffice } from '../pipeline.ts';
import type { DeadLetterStore } from './dead-letter-store.ts';
import { DurableQueue } from './durable-queue.ts';

export interface DeadLetterQueueOptions {
  readonly store: DeadLetterStore;
  readonly clock: Clock;
  readonly log: Pick<Logger, 'error'>;
  /** Further writes are pointless: this process is not the leader any more. */
  readonly onLost: (error: unknown) => void;
}

export class DeadLetterQueue implements DeadLetterOffice {
  private readonly queue: DurableQueue<DeadLetter>;

  constructor({ store, clock, log, onLost }: DeadLetterQueueOptions) {
    this.queue = new DurableQueue({
      writer: {
        write: store.storeDeadLetters,
        writeReduced: store.storeReduced,
        sizeOf: ({ item }) => (item.kind === 'event' ? item.size : item.row.length),
      },
      clock,
      onStall: (message, waiting) =>
        log.error(
          { waiting, remedy: stallRemedy(message) },
          `dead letters cannot be stored, the slot waits: ${message}`,
        ),
      onLost,
    });
  }

  store(letter: DeadLetter, stored: () => void): void {
    this.queue.add(letter, stored);
  }

  get stalls(): readonly Stall[] {
    return this.queue.stallsOf('dead letters');
  }

  close(): void {
    this.queue.close();
  }
}
