/**
 * One connection that all batches of a sink share. It is opened for the first batch that needs it, and anew after it was lost.
 *
 * The client's own reconnecting stays off: a client that reconnects by itself keeps messages meanwhile and sends them later,
 * when the router may have sent them again.
 */
import { orAborted } from '../../or-aborted.ts';

export interface KeptConnectionOptions<T> {
  readonly open: () => Promise<T>;
  readonly close: (connection: T) => Promise<void>;
}

interface Kept<T> {
  readonly opening: Promise<T>;
  /** Once it is open. */
  connection?: T;
}

export class KeptConnection<T extends object> {
  private readonly options: KeptConnectionOptions<T>;
  private current: Kept<T> | undefined;
  private isClosed = false;

  constructor(options: KeptConnectionOptions<T>) {
    this.options = options;
  }

  /** The connection, when it is open already. */
  get openNow(): T | undefined {
    return this.isClosed ? undefined : this.current?.connection;
  }

  /** Rejects when it cannot be opened, or with the signal; the next call tries again. */
  async get(signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    if (this.isClosed) throw new Error('the sink is closed');
    this.current ??= this.open();
    return orAborted(this.current.opening, signal);
  }

  /** The connection is of no use any more. It is closed, and the next batch opens another, also when it comes at once. */
  async lost(connection: T): Promise<void> {
    const { current } = this;
    // One that is lost while it is being opened has to be waited for.
    const opened = current?.connection ?? (await current?.opening.catch(() => undefined));
    if (current && opened === connection) this.forget(current);
    await this.options.close(connection);
  }

  /** Ends the connection, also one that is being opened. */
  async close(): Promise<void> {
    this.isClosed = true;
    const connection = await this.current?.opening.catch(() => undefined);
    if (connection) await this.options.close(connection);
  }

  private open(): Kept<T> {
    const kept: Kept<T> = { opening: this.options.open() };
    kept.opening.then(
      (connection) => (kept.connection = connection),
      () => this.forget(kept),
    );
    return kept;
  }

  private forget(kept: Kept<T>): void {
    if (this.current === kept) this.current = undefined;
  }
}
