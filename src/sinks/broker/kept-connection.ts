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

export class KeptConnection<T extends object> {
  private readonly options: KeptConnectionOptions<T>;
  private current: Promise<T> | undefined;
  private isClosed = false;

  constructor(options: KeptConnectionOptions<T>) {
    this.options = options;
  }

  /** Rejects when it cannot be opened, or with the signal; the next call tries again. */
  async get(signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    if (this.isClosed) throw new Error('the sink is closed');
    if (!this.current) {
      const opening = this.options.open();
      this.current = opening;
      opening.catch(() => this.forget(opening));
    }
    return orAborted(this.current, signal);
  }

  /** The connection is of no use any more. It is closed, and the next batch opens another. */
  async lost(connection: T): Promise<void> {
    const opened = this.current;
    if (opened && (await opened.catch(() => undefined)) === connection) this.forget(opened);
    await this.options.close(connection);
  }

  /** Ends the connection, also one that is being opened. */
  async close(): Promise<void> {
    this.isClosed = true;
    const connection = await this.current?.catch(() => undefined);
    if (connection) await this.options.close(connection);
  }

  private forget(opening: Promise<T>): void {
    if (this.current === opening) this.current = undefined;
  }
}
