/**
 * A server that listens at once, or as soon as its address is free.
 *
 * With the same configuration, a second process on the same machine finds the port in use by the leader. It still stands by,
 * and listens on the port when it takes over.
 */
import type { AddressInfo } from 'node:net';
import { pause, type Clock } from '../clock.ts';
import { messageOf, WalpostError } from '../errors.ts';
import type { Logger } from '../observe/log.ts';

const TRY_AGAIN_MS = 1_000;

export interface Listening extends AsyncDisposable {
  readonly address: AddressInfo;
}

export interface HttpService extends AsyncDisposable {
  /** Undefined while another process uses the address. */
  readonly address: AddressInfo | undefined;
}

export interface ListenOptions {
  readonly port: number;
  readonly log: Logger;
  readonly clock: Clock;
  readonly words: { readonly inUse: string; readonly free: string };
}

/** `start` throws HTTP_LISTEN when it cannot listen; so does this, for any reason except that the address is in use. */
export async function listenWhenFree(start: () => Promise<Listening>, options: ListenOptions): Promise<HttpService> {
  const { port, log, clock, words } = options;
  const closing = new AbortController();
  let server = await unlessInUse(start);
  let waiting: Promise<void> | undefined;
  if (!server) {
    log.warn({ port }, words.inUse);
    waiting = waitForPort();
  }
  return {
    get address() {
      return server?.address;
    },
    [Symbol.asyncDispose]: async () => {
      closing.abort();
      await waiting;
      await server?.[Symbol.asyncDispose]();
    },
  };

  async function waitForPort(): Promise<void> {
    while (!server && !closing.signal.aborted) {
      await pause(clock, TRY_AGAIN_MS, closing.signal);
      if (closing.signal.aborted) return;
      try {
        server = await unlessInUse(start);
        if (server) log.info({ port: server.address.port }, words.free);
      } catch (error) {
        log.error(messageOf(error));
        return;
      }
    }
  }
}

async function unlessInUse(start: () => Promise<Listening>): Promise<Listening | undefined> {
  try {
    return await start();
  } catch (error) {
    const cause = error instanceof WalpostError ? error.cause : undefined;
    if (cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE') return undefined;
    throw error;
  }
}
