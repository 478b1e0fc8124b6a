/** Takes dead letters in and calls back when they are durable. */
import type { Stall } from '../observe/status-report.ts';
import type { DeadLetter, DeadLetterOffice as Office } from '../pipeline.ts';
import { DurableQueue, type DurableQueueOptions } from './durable-queue.ts';

export type DeadLetterOfficeOptions = Omit<DurableQueueOptions<DeadLetter>, 'sizeOf'>;

export class DeadLetterOffice implements Office {
  private readonly queue: DurableQueue<DeadLetter>;

  constructor(options: DeadLetterOfficeOptions) {
    this.queue = new DurableQueue({
      ...options,
      sizeOf: ({ item }) => (item.kind === 'event' ? item.size : item.row.length),
    });
  }

  store(letter: DeadLetter, stored: () => void): void {
    this.queue.add(letter, stored);
  }

  get stalls(): readonly Stall[] {
    const { stall, length } = this.queue;
    return stall === undefined ? [] : [{ what: 'dead letters', waiting: length, message: stall }];
  }

  close(): void {
    this.queue.close();
  }
}
