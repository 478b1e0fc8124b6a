import pg from 'pg';
import { pause, type Clock } from '../clock.ts';
import { messageOf } from '../errors.ts';
import { connectSession, sessionClient } from './session.ts';

export interface ListenerOptions {
  readonly url: string;
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  /** A plain identifier. */
  readonly channel: string;
  readonly clock: Clock;
  readonly onMessage: (payload: string) => void;
  /** It listens from here on, for the first time or again: what came before may have been missed. */
  readonly onListening: () => void;
  readonly onError: (message: string) => void;
}

const AGAIN_MS = 1_000;
const CONNECT_TIMEOUT_MS = 10_000;

/** Listens to a channel over a connection of its own, which it makes again when it is lost. */
export class Listener implements AsyncDisposable {
  private readonly options: ListenerOptions;
  private readonly closing = new AbortController();
  private readonly running: Promise<void>;

  constructor(options: ListenerOptions) {
    this.options = options;
    this.running = this.run();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.closing.abort();
    await this.running;
  }

  private async run(): Promise<void> {
    const { clock, onError } = this.options;
    const { signal } = this.closing;
    while (!signal.aborted) {
      try {
        await this.listen();
      } catch (error) {
        if (!signal.aborted) onError(messageOf(error));
      }
      await pause(clock, AGAIN_MS, signal);
    }
  }

  /** Until the connection ends or the listener is disposed. */
  private async listen(): Promise<void> {
    const { url, applicationName, channel, onMessage, onListening } = this.options;
    const client = sessionClient(
      { url, applicationName },
      { keepAlive: true, connectionTimeoutMillis: CONNECT_TIMEOUT_MS },
    );
    const { signal } = this.closing;
    const ended = new Promise<void>((resolve) => {
      client.on('error', () => resolve());
      client.on('end', resolve);
      signal.addEventListener('abort', () => resolve(), { once: true });
    });
    // No goodbye: a server that is cut off would never answer it.
    const close = (): void => void client.connection.stream.destroy();
    signal.addEventListener('abort', close, { once: true });
    try {
      await connectSession(client);
      client.on('notification', ({ payload }) => onMessage(payload ?? ''));
      await client.query(`LISTEN ${pg.escapeIdentifier(channel)}`);
      if (!signal.aborted) onListening();
      await ended;
    } finally {
      signal.removeEventListener('abort', close);
      close();
    }
  }
}
