/**
 * Writes to Postgres that must happen, in chunks, for as long as it takes.
 *
 * What arrives while a write is under way goes together in the next one. A write that fails is tried again with growing
 * patience: until then nobody is called back, so the events count as unsettled, the slot waits, and nothing is lost.
 */
import { pause, type Clock } from '../clock.ts';
import { WalpostError, messageOf } from '../errors.ts';

export interface DurableQueueOptions<T> {
  /** Commits the items; doing so a second time has no effect. */
  readonly write: (items: readonly T[]) => Promise<void>;
  /** Bytes of an item. */
  readonly sizeOf: (item: T) => number;
  readonly clock: Clock;
  /** A write failed and will be tried again. */
  readonly onStall: (message: string, waiting: number) => void;
  /** Writing is of no use any more: this process is not the leader. */
  readonly onLost: (error: WalpostError) => void;
}

interface Waiting<T> {
  readonly item: T;
  readonly size: number;
  readonly done: () => void;
}

const CHUNK_ITEMS = 500;
const CHUNK_BYTES = 4 * 1024 ** 2;
const FIRST_WAIT_MS = 250;
const LONGEST_WAIT_MS = 10_000;

export class DurableQueue<T> {
  private readonly options: DurableQueueOptions<T>;
  private readonly closing = new AbortController();
  private waiting: Waiting<T>[] = [];
  private writing = false;
  private stalledBy: string | undefined;

  constructor(options: DurableQueueOptions<T>) {
    this.options = options;
  }

  get length(): number {
    return this.waiting.length;
  }

  /** Why the last write failed; undefined when it did not. */
  get stall(): string | undefined {
    return this.stalledBy;
  }

  /** `done` is called once the item is committed. */
  add(item: T, done: () => void): void {
    this.waiting.push({ item, size: this.options.sizeOf(item), done });
    if (this.writing) return;
    this.writing = true;
    queueMicrotask(() => void this.writeAll()); // what is added in the same turn goes together
  }

  close(): void {
    this.closing.abort();
  }

  private async writeAll(): Promise<void> {
    const { clock, onStall, onLost } = this.options;
    let wait = FIRST_WAIT_MS;
    while (this.waiting.length > 0 && !this.closing.signal.aborted) {
      const chunk = this.nextChunk();
      try {
        await this.options.write(chunk.map(({ item }) => item));
      } catch (error) {
        if (this.closing.signal.aborted) return;
        if (error instanceof WalpostError && error.code === 'LEADERSHIP_LOST') {
          this.close();
          return onLost(error);
        }
        this.stalledBy = messageOf(error);
        onStall(this.stalledBy, this.waiting.length);
        await pause(clock, wait, this.closing.signal);
        wait = Math.min(LONGEST_WAIT_MS, wait * 2);
        continue;
      }
      wait = FIRST_WAIT_MS;
      this.stalledBy = undefined;
      this.waiting.splice(0, chunk.length);
      for (const { done } of chunk) done();
    }
    this.writing = false;
  }

  private nextChunk(): readonly Waiting<T>[] {
    let bytes = 0;
    let count = 0;
    for (const { size } of this.waiting) {
      if (count === CHUNK_ITEMS || (count > 0 && bytes + size > CHUNK_BYTES)) break;
      bytes += size;
      count += 1;
    }
    return this.waiting.slice(0, count);
  }
}
