import type { Locks } from './locks.ts';
import type { QueuedItem, QueueStore } from './queue-store.ts';

export interface StoredItemsOptions {
  readonly store: QueueStore;
  readonly key: string;
  readonly locks: Locks;
}

/** The list of items, as one value of the store. */
export class StoredItems<Data> {
  private readonly options: StoredItemsOptions;

  constructor(options: StoredItemsOptions) {
    this.options = options;
  }

  async read(): Promise<readonly QueuedItem<Data>[]> {
    const { store, key } = this.options;
    return itemsOf(await store.get(key));
  }

  add(item: QueuedItem<Data>, most: number): Promise<void> {
    return this.change((items) => {
      if (items.some(({ id }) => id === item.id)) return items;
      if (items.length >= most) throw new QueueFullError(`${most} items wait already`);
      return [...items, item];
    });
  }

  remove(gone: string): Promise<void> {
    return this.change((items) => items.filter(({ id }) => id !== gone));
  }

  private async change(change: (items: readonly QueuedItem<Data>[]) => readonly QueuedItem<Data>[]): Promise<void> {
    const { store, key, locks } = this.options;
    const changed = (value: string | null | undefined): string | undefined => {
      const items = change(itemsOf(value));
      return items.length === 0 ? undefined : JSON.stringify(items);
    };
    if (store.update !== undefined) return void (await store.update(key, changed));
    await locks.run(`${key}:store`, async () => {
      const value = changed(await store.get(key));
      await (value === undefined ? store.delete(key) : store.set(key, value));
    });
  }
}

/** Nothing was added: too much waits. */
export class QueueFullError extends Error {
  override readonly name = 'QueueFullError';
}

function itemsOf<Data>(value: string | null | undefined): readonly QueuedItem<Data>[] {
  return value == null ? [] : (JSON.parse(value) as readonly QueuedItem<Data>[]);
}
