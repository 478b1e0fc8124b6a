/**
 * The process's own pages: /healthz, /readyz, /metrics and /status.
 *
 * The health pages are open: a probe has no token, and they show nothing about events. Metrics and status need the token when
 * one is configured. Without a token they answer on loopback only, and only to requests whose Host header names this
 * machine. So a web page cannot read them through a domain that resolves to 127.0.0.1 (DNS rebinding).
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import { isIP, type AddressInfo } from 'node:net';
import { messageOf, WalpostError } from '../errors.ts';
import { isLoopback } from '../loopback.ts';
import { bearerMatches } from './bearer.ts';
import type { Health } from '../observe/health.ts';
import { scrub } from '../observe/redact.ts';
import type { Readiness, StatusReport } from '../observe/status-report.ts';

export interface HttpServerOptions {
  readonly host: string;
  /** 0 takes a free one. */
  readonly port: number;
  readonly token?: string | undefined;
  readonly health: () => Health;
  readonly readiness: () => Readiness;
  readonly status: () => Promise<StatusReport>;
  readonly metrics: { readonly contentType: string; render(): Promise<string> };
}

interface Answer {
  readonly code: number;
  readonly body: string;
  readonly type?: string;
  readonly headers?: Readonly<Record<string, string>>;
}

const JSON_TYPE = 'application/json; charset=utf-8';
const TEXT_TYPE = 'text/plain; charset=utf-8';
const MOST_CONNECTIONS = 256;

export class HttpServer implements AsyncDisposable {
  private readonly server: Server;
  private readonly options: HttpServerOptions;
  /** Where it listens, or did. */
  address: AddressInfo = { address: '', family: '', port: 0 };

  private constructor(options: HttpServerOptions) {
    this.options = options;
    const limits = { maxHeaderSize: 8192, headersTimeout: 5_000, requestTimeout: 10_000, keepAliveTimeout: 5_000 };
    this.server = createServer(limits, (request, response) => void this.respond(request, response));
    this.server.maxConnections = MOST_CONNECTIONS;
  }

  static async start(options: HttpServerOptions): Promise<HttpServer> {
    const http = new HttpServer(options);
    try {
      http.server.listen(options.port, options.host);
      await once(http.server, 'listening');
    } catch (cause) {
      throw new WalpostError('HTTP_LISTEN', { detail: `${options.host}:${options.port}: ${messageOf(cause)}.`, cause });
    }
    http.address = http.server.address() as AddressInfo;
    return http;
  }

  /** Finishes requests in flight, for at most `graceMs`, then closes all connections. */
  async close(graceMs = 1_000): Promise<void> {
    if (!this.server.listening) return;
    const closed = once(this.server, 'close');
    this.server.close();
    const timer = setTimeout(() => this.server.closeAllConnections(), graceMs);
    await closed;
    clearTimeout(timer);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.close(0);
  }

  private async respond(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let answer: Answer;
    try {
      answer = await this.answer(request);
    } catch (error) {
      answer = json(503, { error: scrub(messageOf(error)) });
    }
    const bodiless = request.method === 'HEAD';
    response.writeHead(answer.code, {
      'content-type': answer.type ?? TEXT_TYPE,
      'content-length': Buffer.byteLength(answer.body),
      'cache-control': 'no-store',
      'x-content-type-options': 'nosniff',
      ...answer.headers,
      // The body of a request is not read, so the connection cannot be used again.
      ...(request.method === 'GET' || bodiless ? {} : { connection: 'close' }),
    });
    response.end(bodiless ? undefined : answer.body);
  }

  private async answer(request: IncomingMessage): Promise<Answer> {
    const path = (request.url ?? '/').split('?', 1)[0];
    const page = PAGES[path ?? ''];
    if (page === undefined) return text(404, 'not found; there are /healthz, /readyz, /metrics and /status\n');
    if (request.method !== 'GET' && request.method !== 'HEAD') {
      return { ...text(405, 'only GET and HEAD\n'), headers: { allow: 'GET, HEAD' } };
    }
    return (page.open ? undefined : this.refusal(request)) ?? page.answer(this.options);
  }

  private refusal(request: IncomingMessage): Answer | undefined {
    const { token } = this.options;
    if (token !== undefined) {
      if (bearerMatches(request.headers.authorization, token)) return undefined;
      return { ...text(401, 'needs the bearer token of http.token\n'), headers: { 'www-authenticate': 'Bearer' } };
    }
    if (isLoopback(this.address.address) && isLoopback(hostOf(request))) return undefined;
    return text(403, 'open on loopback only, unless http.token is set\n');
  }
}

interface Page {
  /** Whether the page needs no token. */
  readonly open: boolean;
  answer(options: HttpServerOptions): Answer | Promise<Answer>;
}

const PAGES: Readonly<Record<string, Page>> = Object.assign(Object.create(null) as Record<string, Page>, {
  '/healthz': {
    open: true,
    answer({ health }) {
      const { alive, detail } = health();
      return json(alive ? 200 : 503, { alive, detail });
    },
  },
  '/readyz': {
    open: true,
    answer({ readiness }) {
      const { ready, degraded, role, detail } = readiness();
      return json(ready ? 200 : 503, { ready, degraded, role, detail });
    },
  },
  '/metrics': {
    open: false,
    answer: async ({ metrics }) => ({ code: 200, body: await metrics.render(), type: metrics.contentType }),
  },
  '/status': { open: false, answer: async ({ status }) => json(200, await status()) },
} satisfies Record<string, Page>);

/** The name in the Host header, without the port and the brackets of IPv6. */
function hostOf(request: IncomingMessage): string {
  const host = request.headers.host ?? '';
  const bracketed = /^\[([^\]]*)\](?::\d+)?$/.exec(host)?.[1];
  return bracketed ?? (isIP(host) ? host : host.replace(/:\d+$/, ''));
}

function text(code: number, body: string): Answer {
  return { code, body };
}

function json(code: number, value: unknown): Answer {
  return { code, body: `${JSON.stringify(value)}\n`, type: JSON_TYPE };
}
