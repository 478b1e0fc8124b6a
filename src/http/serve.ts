/**
 * Serves the pages of the process, at once or as soon as the address is free.
 *
 * With the same configuration, a second process on the same machine finds the port in use by the leader. It still stands by,
 * and listens on the port when it takes over.
 */
import { pause, type Clock } from '../clock.ts';
import { messageOf, WalpostError } from '../errors.ts';
import { HttpServer, type HttpServerOptions } from './server.ts';
import type { Logger } from '../observe/log.ts';

const TRY_AGAIN_MS = 1_000;

export interface HttpService extends AsyncDisposable {
  /** Undefined while another process uses the address. */
  readonly address: HttpServer['address'] | undefined;
}

/** Throws HTTP_LISTEN when the server cannot listen for any reason except that the address is in use. */
export async function serveHttp(
  options: HttpServerOptions,
  { log, clock }: { log: Logger; clock: Clock },
): Promise<HttpService> {
  const closing = new AbortController();
  let server = await listen(options);
  let waiting: Promise<void> | undefined;
  if (!server) {
    log.warn({ port: options.port }, 'the HTTP port is in use: no pages until it is free');
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
        server = await listen(options);
        if (server) log.info({ port: server.address.port }, 'the HTTP port is free now: serving pages');
      } catch (error) {
        log.error(messageOf(error));
        return;
      }
    }
  }
}

async function listen(options: HttpServerOptions): Promise<HttpServer | undefined> {
  try {
    return await HttpServer.start(options);
  } catch (error) {
    const cause = error instanceof WalpostError ? error.cause : undefined;
    if (cause instanceof Error && 'code' in cause && cause.code === 'EADDRINUSE') return undefined;
    throw error;
  }
}
