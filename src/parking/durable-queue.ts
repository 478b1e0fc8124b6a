/**
 * Writes to Postgres that must happen, in chunks, for as long as it takes.
 *
 * What arrives during a write goes together into the next one. A write that fails is tried again after growing waits. Until it
 * succeeds nobody is called back, so the events count as unsettled, the slot waits, and nothing is lost.
 *
 * When the server refuses the content of an item, trying again does not help. Such items are found by bisection and stored one
 * by one in a form that the server accepts, so that no content holds the slot.
 */
import { pause, type Clock } from '../clock.ts';
import { asDefect, WalpostError, messageOf } from '../errors.ts';
import type { Stall } from '../observe/status-report.ts';
import { refusesContent } from '../postgres/storable.ts';

/** The table that the items go to. */
export interface DurableWriter<T> {
  /** Commits the items; doing so a second time has no effect. */
  write(items: readonly T[]): Promise<void>;
  /** Commits one item whose content the server refuses, in a form that it accepts. */
  writeReduced?(item: T, refusal: unknown): Promise<void>;
  /** Bytes of an item. */
  sizeOf(item: T): number;
}

export interface DurableQueueOptions<T> {
  readonly writer: DurableWriter<T>;
  readonly clock: Clock;
  /** A write failed and will be tried again. */
  readonly onStall: (message: string, waiting: number) => void;
  /** Further writes are pointless: this process is not the leader any more, or what was told of a write has a fault. */
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

  /** Why the last write failed, for the status; nothing when it did not. */
  stallsOf(what: Stall['what']): readonly Stall[] {
    const message = this.stalledBy;
    return message === undefined ? [] : [{ what, waiting: this.length, message }];
  }

  /** `done` is called once the item is committed. */
  add(item: T, done: () => void): void {
    this.waiting.push({ item, size: this.options.writer.sizeOf(item), done });
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
        await this.write(chunk.map(({ item }) => item));
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
      if (!this.tell(chunk)) return;
    }
    this.writing = false;
  }

  /** False when one of those that waited for the write has a fault. */
  private tell(chunk: readonly Waiting<T>[]): boolean {
    try {
      for (const { done } of chunk) done();
      return true;
    } catch (error) {
      this.close();
      this.options.onLost(asDefect(error));
      return false;
    }
  }

  private async write(items: readonly T[]): Promise<void> {
    const { writer } = this.options;
    try {
      return await writer.write(items);
    } catch (error) {
      if (!writer.writeReduced || !refusesContent(error)) throw error;
      if (items.length === 1) return writer.writeReduced(items[0] as T, error);
    }
    const half = items.length >> 1;
    await this.write(items.slice(0, half));
    await this.write(items.slice(half));
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
