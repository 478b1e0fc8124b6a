/**
 * The listener of the live channel, which is never the one of the operators' pages:
 *
 *   GET  /live, /live/events   the stream, with a bearer token or with ?ticket=
 *   POST /live/ticket          a ticket for an EventSource, with a bearer token
 *
 * No token is taken from a URL, and no URL is written to a log. While this process does not lead, it answers 503.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Clock } from '../../clock.ts';
import type { LiveConfig } from '../../config/live.ts';
import { messageOf, WalpostError } from '../../errors.ts';
import type { SinkLog } from '../../sink-context.ts';
import { corsHeaders, isPreflight, preflightHeaders } from './live-cors.ts';
import { retryFrame } from './live-frames.ts';
import type { LiveHub } from './live-hub.ts';
import { LiveReader } from './live-reader.ts';
import { bearerOf, lastEventIdOf, LiveRefusal, readQuery, type StreamQuery } from './live-request.ts';
import { LiveTickets, TICKET_SECONDS } from './live-tickets.ts';
import { KeysUnreadableError, type LiveClaims, LiveTokens, TokenRefusedError } from './live-tokens.ts';

export interface LiveServerOptions {
  readonly config: LiveConfig;
  readonly hub: LiveHub;
  readonly clock: Clock;
  readonly log: SinkLog;
}

/** Connections beside the streams: for tickets, for preflights, and for those that are refused. */
const OTHER_CONNECTIONS = 256;
/** Readers come back spread over some seconds, so that a new leader does not meet all of them at once. */
const RETRY_MS = { least: 1_000, spread: 4_000 };
const LIMITS = {
  maxHeaderSize: 16 * 1024,
  headersTimeout: 5_000,
  requestTimeout: 10_000,
  keepAliveTimeout: 5_000,
  connectionsCheckingInterval: 1_000,
  noDelay: true,
};
/** What is answered with a stream gets its end by the connection's end. */
const STREAM_HEADERS = {
  'content-type': 'text/event-stream; charset=utf-8',
  'cache-control': 'no-store, no-transform',
  'x-accel-buffering': 'no',
  'x-content-type-options': 'nosniff',
  connection: 'close',
};

export class LiveServer implements AsyncDisposable {
  address: AddressInfo = { address: '', family: '', port: 0 };
  private readonly options: LiveServerOptions;
  private readonly server: Server;
  private readonly tokens: LiveTokens;
  private readonly tickets: LiveTickets;

  private constructor(options: LiveServerOptions) {
    const { config, clock } = options;
    this.options = options;
    this.tokens = new LiveTokens(config, clock);
    this.tickets = new LiveTickets(clock, config.connections_per_organization);
    this.server = createServer(LIMITS, (request, response) => void this.respond(request, response));
    this.server.maxConnections = config.connections + OTHER_CONNECTIONS;
  }

  /** Throws HTTP_LISTEN. */
  static async start(options: LiveServerOptions): Promise<LiveServer> {
    const live = new LiveServer(options);
    const { host, port } = options.config;
    try {
      live.server.listen({ host, port, backlog: 4096 });
      await once(live.server, 'listening');
    } catch (cause) {
      await live.tokens[Symbol.asyncDispose]();
      const remedy = 'Choose another live.port, or end the process that has it.';
      throw new WalpostError('HTTP_LISTEN', { detail: `${host}:${port}: ${messageOf(cause)}.`, remedy, cause });
    }
    live.address = live.server.address() as AddressInfo;
    return live;
  }

  /** Closes every connection; end the streams first. */
  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.server, 'close');
    this.server.close();
    this.server.closeAllConnections();
    await closed;
    await this.tokens[Symbol.asyncDispose]();
  }

  private async respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const cors = corsHeaders(request, this.options.config.origins);
    try {
      const query = readQuery(request);
      if (isPreflight(request)) return void response.writeHead(204, { ...cors, ...preflightHeaders(cors) }).end();
      if (!this.options.hub.isOpen) throw notLeading();
      if (query.page === 'ticket') return await this.answerTicket(request, response, cors);
      await this.openStream(request, response, { query, cors });
    } catch (error) {
      this.refuse(request, response, { error, cors });
    }
  }

  private async answerTicket(request: IncomingMessage, response: ServerResponse, cors: Headers): Promise<void> {
    const claims = await this.claimsOf(request, undefined);
    const ticket = this.tickets.issue(claims);
    if (ticket === undefined) throw new LiveRefusal(429, 'too many tickets are not used yet', { 'retry-after': '5' });
    answer(request, response, { status: 200, body: { ticket, expires_in: TICKET_SECONDS }, headers: cors });
  }

  private async openStream(request: IncomingMessage, response: ServerResponse, { query, cors }: Stream): Promise<void> {
    const { hub, config } = this.options;
    const { organizationId, expiresAt } = await this.claimsOf(request, query.ticket);
    if (response.destroyed) return;
    const admission = hub.admits(organizationId);
    if (admission === 'closed') throw notLeading();
    if (admission !== 'admitted') throw tooMany(admission === 'full' ? 503 : 429);
    // Its end is the end of the connection: no chunks, so that a message is one write of one buffer.
    response.useChunkedEncodingByDefault = false;
    response.writeHead(200, { ...STREAM_HEADERS, ...cors });
    response.write(retryFrame(RETRY_MS.least + Math.floor(Math.random() * RETRY_MS.spread)));
    const reader = new LiveReader({
      response,
      organizationId,
      expiresAt,
      filter: query.filter,
      maxBuffered: config.reader_buffer,
      onEnd: (ended, reason) => hub.detach(ended, reason),
    });
    hub.attach(reader, lastEventIdOf(request, query));
  }

  private async claimsOf(request: IncomingMessage, ticket: string | undefined): Promise<LiveClaims> {
    if (ticket !== undefined) {
      const claims = this.tickets.use(ticket);
      if (!claims || claims.expiresAt <= this.options.clock.wallTime()) {
        throw unauthorized('the ticket is unknown, was used, or is too old');
      }
      return claims;
    }
    const token = bearerOf(request);
    if (token === undefined) throw unauthorized('needs a bearer token, or a ticket of POST /live/ticket');
    return this.tokens.verify(token);
  }

  private refuse(request: IncomingMessage, response: ServerResponse, { error, cors }: Refused): void {
    const refusal = refusalOf(error);
    if (!(error instanceof LiveRefusal || error instanceof TokenRefusedError)) {
      const reason = error instanceof KeysUnreadableError ? 'live.jwks cannot be read' : 'a request failed';
      this.options.log.warn({ cause: messageOf(error instanceof Error ? (error.cause ?? error) : error) }, reason);
    }
    if (response.headersSent) return void response.destroy();
    const { status, message, headers } = refusal;
    answer(request, response, { status, body: { error: message }, headers: { ...cors, ...headers } });
  }
}

type Headers = Readonly<Record<string, string>>;

interface Stream {
  readonly query: StreamQuery;
  readonly cors: Headers;
}

interface Refused {
  readonly error: unknown;
  readonly cors: Headers;
}

function refusalOf(error: unknown): LiveRefusal {
  if (error instanceof LiveRefusal) return error;
  if (error instanceof TokenRefusedError) return unauthorized(error.message);
  const words = error instanceof KeysUnreadableError ? 'tokens cannot be checked now' : 'the request failed';
  return new LiveRefusal(503, words, { 'retry-after': '5' });
}

function unauthorized(message: string): LiveRefusal {
  return new LiveRefusal(401, message, { 'www-authenticate': 'Bearer' });
}

function notLeading(): LiveRefusal {
  return new LiveRefusal(503, 'this process does not lead; another one may', { 'retry-after': '2' });
}

function tooMany(status: number): LiveRefusal {
  return new LiveRefusal(status, 'too many streams are open', { 'retry-after': '10' });
}

interface Answer {
  readonly status: number;
  readonly body: object;
  readonly headers: Headers;
}

function answer(request: IncomingMessage, response: ServerResponse, { status, body, headers }: Answer): void {
  const text = `${JSON.stringify(body)}\n`;
  response.writeHead(status, {
    'content-type': 'application/json; charset=utf-8',
    'content-length': Buffer.byteLength(text),
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    ...headers,
    // The body of a request is not read, so the connection cannot be used again.
    ...(hasBody(request) ? { connection: 'close' } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : text);
}

function hasBody({ headers }: IncomingMessage): boolean {
  return headers['transfer-encoding'] !== undefined || Number(headers['content-length'] ?? 0) > 0;
}
