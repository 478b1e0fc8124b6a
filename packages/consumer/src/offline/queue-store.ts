/** Where the queue is kept. AsyncStorage, MMKV and localStorage fit, with a line around each. */
export interface QueueStore {
  get(key: string): Promise<string | null | undefined> | string | null | undefined;
  set(key: string, value: string): unknown;
  delete(key: string): unknown;
  /**
   * Reads, changes and writes in one step that no other tab can come between; undefined deletes. Without it a Web Lock sees to
   * that, where there are any.
   */
  update?(key: string, change: (value: string | undefined) => string | undefined): Promise<unknown>;
}

/** What waits to be sent. */
export interface QueuedItem<Data = unknown> {
  /** The idempotency key: the same for every try. */
  readonly id: string;
  readonly data: Data;
  /** When it was added, in milliseconds since the Unix epoch. */
  readonly addedAt: number;
}
