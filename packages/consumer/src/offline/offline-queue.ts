/**
 * What a client wants to send is kept until it was sent: over a tunnel, a restart of the browser, a night in airplane mode.
 *
 * Items go out in their order, one at a time. One that fails holds up those behind it and is tried again, with growing waits
 * and whenever the network is back. A tab that ends between sending and noting it sends the item again, with the same id: the
 * receiver drops what it has, by the id as the idempotency key.
 */
import { type Clock, systemClock } from '../clock.ts';
import { onNetworkBack } from '../network.ts';
import { PermanentError } from '../permanent-error.ts';
import { retryDelay } from '../retry-delay.ts';
import { availableLocks, type Locks } from './locks.ts';
import type { QueuedItem, QueueStore } from './queue-store.ts';
import { StoredItems } from './stored-items.ts';

export type DropReason =
  /** It is older than `maxAge`. */
  | 'expired'
  /** `send` threw a PermanentError. */
  | 'refused';

export interface OfflineQueueOptions<Data> {
  readonly store: QueueStore;
  /** Sends one item. Throw a PermanentError when it will never do; anything else is tried again. */
  readonly send: (item: QueuedItem<Data>) => Promise<unknown>;
  /** Told of each item that is given up. */
  readonly onDrop?: (item: QueuedItem<Data>, reason: DropReason, error?: unknown) => void;
  /** Told how many items wait, whenever that may have changed. */
  readonly onChange?: (waiting: number) => void;
  /** In the store and in the names of locks; `walpost-queue` when absent. A user of one's own has a name of one's own. */
  readonly name?: string;
  /** In milliseconds; 24 hours when absent. */
  readonly maxAge?: number;
  /** Items; 1,000 when absent. */
  readonly maxItems?: number;
  /** The waits after a failure, in milliseconds: 1,000, doubling up to 60,000. */
  readonly retry?: { readonly base?: number; readonly most?: number };
  /** For tests. */
  readonly clock?: Clock;
  readonly random?: () => number;
  readonly locks?: Locks;
}

const DAY_MS = 86_400_000;

/** Begins to send what is left of last time. */
export function createOfflineQueue<Data>(options: OfflineQueueOptions<Data>): OfflineQueue<Data> {
  return new OfflineQueue(options);
}

export class OfflineQueue<Data> {
  private readonly options: OfflineQueueOptions<Data>;
  private readonly items: StoredItems<Data>;
  private readonly name: string;
  private readonly clock: Clock;
  private readonly locks: Locks;
  private readonly stopWatching: () => void;
  private running: Promise<void> | undefined;
  private next: Promise<void> | undefined;
  private isClosed = false;
  private failures = 0;
  private timer: { cancel(): void } | undefined;

  constructor(options: OfflineQueueOptions<Data>) {
    const { store, name = 'walpost-queue', clock = systemClock, locks = availableLocks() } = options;
    this.options = options;
    this.name = name;
    this.clock = clock;
    this.locks = locks;
    this.items = new StoredItems({ store, key: name, locks });
    this.stopWatching = onNetworkBack(() => {
      this.failures = 0;
      this.flushSoon();
    });
    this.flushSoon();
  }

  /**
   * Resolves with the id once the item is stored. It is sent at once when nothing is in front of it. Rejects with
   * QueueFullError, or with what the store says.
   */
  async add(data: Data, { id = randomId() }: { readonly id?: string } = {}): Promise<string> {
    await this.items.add({ id, data, addedAt: this.clock.wallTime() }, this.options.maxItems ?? 1_000);
    await this.changed();
    this.flushSoon();
    return id;
  }

  /** What waits, oldest first. */
  waiting(): Promise<readonly QueuedItem<Data>[]> {
    return this.items.read();
  }

  /**
   * Sends what waits. Resolves when nothing does; rejects with the first failure, which is tried again by itself. Call it when the
   * network is back where nobody else says so, as on phones.
   */
  flush(): Promise<void> {
    if (this.running !== undefined) {
      // The flush under way may have seen the queue empty already, so another one follows it, for all who ask meanwhile.
      this.next ??= this.running.then(nothing, nothing).then(() => {
        this.next = undefined;
        return this.flush();
      });
      return this.next;
    }
    this.timer?.cancel();
    this.running = this.sendAll().finally(() => (this.running = undefined));
    return this.running;
  }

  /** Sends nothing any more; what waits stays in the store. */
  close(): void {
    this.isClosed = true;
    this.timer?.cancel();
    this.stopWatching();
  }

  private flushSoon(): void {
    this.flush().catch(nothing);
  }

  private async sendAll(): Promise<void> {
    try {
      // Only one tab sends. The others wait for it, and find what it has left.
      await this.locks.run(`${this.name}:flush`, () => this.sendInOrder());
      await this.changed(); // another tab may have sent what this one has counted
      this.failures = 0;
    } catch (error) {
      this.retryLater();
      throw error;
    }
  }

  private async sendInOrder(): Promise<void> {
    const { maxAge = DAY_MS } = this.options;
    while (!this.isClosed) {
      const [item] = await this.items.read();
      if (item === undefined) return;
      if (this.clock.wallTime() - item.addedAt >= maxAge) await this.drop(item, 'expired');
      else await this.sendOne(item);
      this.failures = 0;
      await this.changed();
    }
  }

  private async sendOne(item: QueuedItem<Data>): Promise<void> {
    try {
      await this.options.send(item);
    } catch (error) {
      if (error instanceof PermanentError) return this.drop(item, 'refused', error);
      throw error;
    }
    await this.items.remove(item.id);
  }

  private async drop(item: QueuedItem<Data>, reason: DropReason, error?: unknown): Promise<void> {
    await this.items.remove(item.id);
    this.options.onDrop?.(item, reason, error);
  }

  private retryLater(): void {
    if (this.isClosed) return;
    const { retry, random = Math.random } = this.options;
    this.failures += 1;
    const delay = retryDelay({ failures: this.failures, base: 1_000, most: 60_000, ...retry, random });
    this.timer?.cancel();
    this.timer = this.clock.schedule(delay, () => this.flushSoon());
  }

  private async changed(): Promise<void> {
    const { onChange } = this.options;
    if (onChange !== undefined) onChange((await this.items.read()).length);
  }
}

const nothing = (): void => undefined;

/** A page without TLS has no randomUUID, and some phones have neither. */
function randomId(): string {
  const { crypto } = globalThis as { readonly crypto?: { readonly randomUUID?: () => string } };
  if (crypto?.randomUUID !== undefined) return crypto.randomUUID();
  const digits = Array.from({ length: 32 }, () => Math.floor(Math.random() * 16).toString(16));
  return digits.join('');
}
