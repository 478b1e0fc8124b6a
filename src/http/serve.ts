/** Serves the pages of the process, at once or as soon as the address is free. */
import type { Clock } from '../clock.ts';
import { HttpServer, type HttpServerOptions } from './server.ts';
import { type HttpService, listenWhenFree } from './listen-when-free.ts';
import type { Logger } from '../observe/log.ts';

const WORDS = {
  inUse: 'the HTTP port is in use: no pages until it is free',
  free: 'the HTTP port is free now: serving pages',
};

/** Throws HTTP_LISTEN when the server cannot listen for any reason except that the address is in use. */
export function serveHttp(
  options: HttpServerOptions,
  { log, clock }: { log: Logger; clock: Clock },
): Promise<HttpService> {
  return listenWhenFree(() => HttpServer.start(options), { port: options.port, log, clock, words: WORDS });
}
