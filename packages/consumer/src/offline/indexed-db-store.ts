/** The door for browsers: the queue in IndexedDB. It needs the package `idb`. */
import { type IDBPDatabase, openDB } from 'idb';
import type { QueueStore } from './queue-store.ts';

export interface IndexedDbStoreOptions {
  /** The name of the database; `walpost` when absent. */
  readonly database?: string;
}

const STORE = 'values';

/** Nothing is opened before the first use. A database that could not be opened is tried again. */
export function indexedDbStore({ database = 'walpost' }: IndexedDbStoreOptions = {}): QueueStore {
  let opened: Promise<IDBPDatabase> | undefined;
  const open = (): Promise<IDBPDatabase> => {
    opened ??= openDB(database, 1, {
      upgrade: (fresh) => void fresh.createObjectStore(STORE),
      terminated: () => (opened = undefined),
    }).catch((error: unknown) => {
      opened = undefined;
      throw error;
    });
    return opened;
  };
  return {
    get: async (key) => (await (await open()).get(STORE, key)) as string | undefined,
    set: async (key, value) => (await open()).put(STORE, value, key),
    delete: async (key) => (await open()).delete(STORE, key),
    update: async (key, change) => {
      const transaction = (await open()).transaction(STORE, 'readwrite', { durability: 'strict' });
      const { store } = transaction;
      const changed = change((await store.get(key)) as string | undefined);
      await (changed === undefined ? store.delete(key) : store.put(changed, key));
      await transaction.done;
    },
  };
}
