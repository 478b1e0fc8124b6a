/**
 * Supabase Realtime, as far as broadcasts go: the websocket, the single-message route and the batch route.
 *
 * The answers are those of the server's own source. The single-message route checks the permission and says 403; the
 * batch route answers 202 and drops what the key may not write to. Both count messages: the single route refuses once the
 * budget is used up, the batch route refuses a whole batch that would pass it. A 422 with `errors` speaks of the message,
 * a 422 with `message` of the project. `answerNext` stands for what only happens on a bad day.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { WebSocketServer } from 'ws';
import { type Broadcast, type Permissions, RealtimeFakeSocket } from './realtime-fake-socket.ts';
import { requestBody } from './request-body.ts';

export interface RealtimeRequest {
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

export interface Answer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body?: string | object;
}

/**
 * An answer, silence, a connection that breaks before one (`lose`: once the message has gone out), or a refusal that quotes
 * the whole request. `pass` is none: for the requests before the one that goes wrong.
 */
export type Fault = Answer | 'pass' | 'hold' | 'reset' | 'lose' | 'echo';

export interface RealtimeFakeOptions {
  /** API keys and user tokens with what they may do. */
  readonly keys: Readonly<Record<string, Permissions>>;
  /** Messages that the project may still send. */
  readonly budget?: number;
  readonly maxPayloadBytes?: number;
}

interface BatchMessage {
  readonly topic: string;
  readonly event: string;
  readonly payload: object;
  readonly private?: boolean;
}

const ROOT = '/realtime/v1';
const SINGLE = /^\/realtime\/v1\/api\/broadcast\/([^/]+)\/events\/([^/]+)$/;
const ACCEPTED: Answer = { status: 202 };
const TOO_LARGE: Answer = { status: 422, body: { errors: { payload: ['Payload size exceeds tenant limit'] } } };

export class RealtimeFake implements AsyncDisposable {
  /** Every request of both routes, in the order they came. */
  readonly requests: RealtimeRequest[] = [];
  readonly #options: RealtimeFakeOptions;
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  readonly #upgrades = new WebSocketServer({ noServer: true });
  readonly #sockets = new Set<RealtimeFakeSocket>();
  readonly #faults: Fault[] = [];
  readonly #open = new Set<Duplex>();
  #lasting: Fault | undefined;
  readonly #watchers = new Set<() => void>();
  #connected = 0;
  #budget: number;

  private constructor(options: RealtimeFakeOptions) {
    this.#options = options;
    this.#budget = options.budget ?? Infinity;
    this.#server.on('connection', (socket: Duplex) => {
      this.#connected++;
      this.#open.add(socket);
      socket.on('close', () => {
        this.#open.delete(socket);
        this.#wake();
      });
    });
    this.#server.on('upgrade', (request, socket, head) => this.#upgrade(request, socket, head));
  }

  static async start(options: RealtimeFakeOptions): Promise<RealtimeFake> {
    const fake = new RealtimeFake(options);
    fake.#server.listen(0, '127.0.0.1');
    await once(fake.#server, 'listening');
    return fake;
  }

  /** The project, as the sink's `url`. */
  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** The endpoint for the client library. */
  get socketUrl(): string {
    return this.url.replace('http', 'ws') + ROOT;
  }

  /** HTTP connections so far. */
  get connections(): number {
    return this.#connected;
  }

  answerNext(...faults: Fault[]): void {
    this.#faults.push(...faults);
  }

  answerAlways(fault: Fault): void {
    this.#lasting = fault;
  }

  setBudget(messages: number): void {
    this.#budget = messages;
  }

  /** Cuts every websocket; its client connects again. */
  disconnectAll(): void {
    for (const client of this.#upgrades.clients) client.terminate();
  }

  /** Resolves when that many requests have arrived in all. */
  received(count: number): Promise<void> {
    return this.#until(() => this.requests.length >= count);
  }

  /** Resolves when no HTTP connection is open. */
  released(): Promise<void> {
    return this.#until(() => this.#open.size === 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.disconnectAll();
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  #upgrade(request: IncomingMessage, socket: Duplex, head: Buffer): void {
    const { pathname, searchParams } = new URL(request.url ?? '/', this.url);
    const key = searchParams.get('apikey') ?? '';
    if (pathname !== `${ROOT}/websocket` || searchParams.get('vsn') !== '2.0.0' || !this.#options.keys[key]) {
      socket.end('HTTP/1.1 403 Forbidden\r\nConnection: close\r\nContent-Length: 0\r\n\r\n');
      return;
    }
    this.#upgrades.handleUpgrade(request, socket, head, (client) => {
      const member = new RealtimeFakeSocket(client, key, {
        lookUp: (token) => this.#options.keys[token],
        publish: (broadcast, from) => this.#publish(broadcast, from),
      });
      this.#sockets.add(member);
      client.on('close', () => this.#sockets.delete(member));
    });
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await requestBody(request);
    if (body === null) return;
    const path = request.url ?? '/';
    this.requests.push({ path, headers: request.headers, body });
    const next = this.#faults.shift() ?? this.#lasting;
    const fault = next === 'pass' ? undefined : next;
    if (fault === 'lose') this.#answer(request, body);
    if (fault === 'reset' || fault === 'lose') request.socket.destroy();
    else if (fault !== 'hold') {
      const answer = fault === 'echo' ? quoting(request, body) : (fault ?? this.#answer(request, body));
      const text = typeof answer.body === 'object' ? JSON.stringify(answer.body) : (answer.body ?? '');
      response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers }).end(text);
    }
    this.#wake();
  }

  #wake(): void {
    for (const watcher of this.#watchers) watcher();
    this.#watchers.clear();
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#watchers.add(resolve));
  }

  #answer(request: IncomingMessage, body: Buffer): Answer {
    const url = new URL(request.url ?? '/', this.url);
    const single = SINGLE.exec(url.pathname);
    if (request.method !== 'POST' || (!single && url.pathname !== `${ROOT}/api/broadcast`)) return { status: 404 };
    if (request.headers['content-type'] !== 'application/json') return { status: 415 };
    const token = request.headers.authorization?.replace(/^Bearer /i, '') ?? request.headers['apikey'];
    const permissions = this.#options.keys[String(token)];
    if (!permissions) return { status: 401, body: { message: 'Unauthorized' } };
    let parsed: unknown;
    try {
      parsed = JSON.parse(body.toString('utf8'));
    } catch {
      return { status: 400 };
    }
    if (!single) return this.#batch((parsed as { messages: BatchMessage[] }).messages, permissions);
    const [, topic = '', event = ''] = single.map(decodeURIComponent);
    const isPrivate = url.searchParams.get('private') === 'true';
    return this.#single({ topic, event, payload: body, isPrivate, framing: 'binary' }, permissions);
  }

  #single(broadcast: Broadcast, permissions: Permissions): Answer {
    if (this.#tooLarge(broadcast.payload)) return TOO_LARGE;
    if (this.#budget < 1) return { status: 429, body: { message: 'You have exceeded your rate limit' } };
    if (broadcast.isPrivate && !permissions.write(broadcast.topic)) {
      return { status: 403, body: { message: 'Unauthorized' } };
    }
    this.#publish(broadcast);
    return ACCEPTED;
  }

  #batch(messages: readonly BatchMessage[], permissions: Permissions): Answer {
    const broadcasts = messages.map(({ topic, event, payload, private: isPrivate = false }): Broadcast => {
      return { topic, event, payload: Buffer.from(JSON.stringify(payload)), isPrivate, framing: 'text' };
    });
    if (broadcasts.some(({ payload }) => this.#tooLarge(payload))) return TOO_LARGE;
    if (this.#budget < broadcasts.length) {
      return { status: 429, body: { message: 'Too many messages to broadcast, please reduce the batch size' } };
    }
    for (const broadcast of broadcasts) {
      if (!broadcast.isPrivate || permissions.write(broadcast.topic)) this.#publish(broadcast);
    }
    return ACCEPTED;
  }

  #tooLarge(payload: Buffer): boolean {
    return payload.length > (this.#options.maxPayloadBytes ?? Infinity);
  }

  #publish(broadcast: Broadcast, from?: RealtimeFakeSocket): void {
    this.#budget--;
    for (const socket of this.#sockets) socket.send(broadcast, from);
  }
}

function quoting(request: IncomingMessage, body: Buffer): Answer {
  return { status: 403, body: `${request.url}\n${request.rawHeaders.join('\n')}\n${body.toString('utf8')}` };
}
