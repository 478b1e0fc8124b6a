/**
 * An HTTP receiver on loopback whose bad days are scripted: what it does with the next requests, one by one, and then
 * with all others. What arrived is kept as bytes, so that a test can compare exactly.
 */
import { execFileSync } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import { createServer as createTlsServer } from 'node:https';
import { type AddressInfo, createServer as createNetServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { requestBody } from './request-body.ts';

export interface ReceivedRequest {
  readonly method: string;
  readonly path: string;
  readonly headers: IncomingMessage['headers'];
  readonly body: Buffer;
}

/** What the receiver does with a request once it has read it. */
export type Conduct =
  | {
      readonly kind: 'answer';
      readonly status: number;
      readonly headers?: Record<string, string>;
      readonly body?: string;
    }
  /** Never answers. */
  | { readonly kind: 'hang' }
  /** Cuts the connection without an answer. */
  | { readonly kind: 'reset' }
  /** Announces a body, sends its beginning and cuts the connection. */
  | { readonly kind: 'reset_mid_answer'; readonly status: number }
  /** Sends a body without end, as fast as it is read. */
  | { readonly kind: 'flood'; readonly status: number }
  /** Sends the head, then one byte every few milliseconds, without end. */
  | { readonly kind: 'drip'; readonly status: number }
  /** Answers with the request itself, or with its body only. */
  | { readonly kind: 'echo'; readonly status: number }
  | { readonly kind: 'echo_body'; readonly status: number }
  /** Answers in another protocol. */
  | { readonly kind: 'garbage' };

const OK: Conduct = { kind: 'answer', status: 200, body: 'ok' };

export class WebhookReceiver implements AsyncDisposable {
  readonly requests: ReceivedRequest[] = [];
  /** Bytes of bodies sent in `flood`. */
  flooded = 0;
  /** Answers of `drip` that go on. */
  dripping = 0;
  /** All connections that were ever made. */
  connections = 0;
  /** What happens when the script has run out. */
  otherwise: Conduct = OK;
  #script: Conduct[] = [];
  #waiting: (() => void)[] = [];
  readonly #server;
  readonly #scheme: string;

  private constructor(tls?: { key: string; cert: string }) {
    const handle = (request: IncomingMessage, response: ServerResponse): void => void this.#handle(request, response);
    this.#server = tls ? createTlsServer(tls, handle) : createServer(handle);
    this.#server.keepAliveTimeout = 60_000;
    this.#server.on('connection', () => (this.connections += 1));
    this.#scheme = tls ? 'https' : 'http';
  }

  static async start(): Promise<WebhookReceiver> {
    return listening(new WebhookReceiver());
  }

  /** With a certificate that nobody trusts; it needs the openssl command. */
  static async startWithBadTls(): Promise<WebhookReceiver> {
    return listening(new WebhookReceiver(selfSigned()));
  }

  get port(): number {
    return (this.#server.address() as AddressInfo).port;
  }

  url(path = '/hook'): string {
    return `${this.#scheme}://127.0.0.1:${this.port}${path}`;
  }

  /** What to do with the next requests. */
  script(...conducts: Conduct[]): void {
    this.#script.push(...conducts);
  }

  /** Connections that are open now. */
  openConnections(): Promise<number> {
    return new Promise((resolve, reject) => {
      this.#server.getConnections((error, count) => (error ? reject(error) : resolve(count)));
    });
  }

  /** Resolves when no connection is open any more. */
  async abandoned(): Promise<void> {
    while ((await this.openConnections()) > 0) await new Promise((resolve) => setTimeout(resolve, 5));
  }

  /** Resolves when that many requests have come in. */
  async received(count: number): Promise<readonly ReceivedRequest[]> {
    while (this.requests.length < count) await new Promise<void>((resolve) => this.#waiting.push(resolve));
    return this.requests;
  }

  async listen(): Promise<void> {
    this.#server.listen(0, '127.0.0.1');
    await once(this.#server, 'listening');
  }

  async [Symbol.asyncDispose](): Promise<void> {
    const closed = once(this.#server, 'close');
    this.#server.close();
    this.#server.closeAllConnections();
    await closed;
  }

  async #handle(request: IncomingMessage, response: ServerResponse): Promise<void> {
    request.on('error', () => {});
    response.on('error', () => {});
    const body = await requestBody(request);
    if (body === null) return;
    const { method = '', url = '', headers } = request;
    const received = { method, path: url, headers, body };
    this.requests.push(received);
    for (const resolve of this.#waiting.splice(0)) resolve();
    const conduct = this.#script.shift() ?? this.otherwise;
    if (conduct.kind === 'echo') {
      response.writeHead(conduct.status).end(JSON.stringify({ ...received, body: received.body.toString() }));
    } else if (conduct.kind === 'echo_body') {
      response.writeHead(conduct.status).end(received.body);
    } else {
      this.#conduct(conduct, response);
    }
  }

  #conduct(conduct: Exclude<Conduct, { kind: 'echo' | 'echo_body' }>, response: ServerResponse): void {
    switch (conduct.kind) {
      case 'answer':
        response.writeHead(conduct.status, conduct.headers).end(conduct.body ?? '');
        return;
      case 'hang':
        return;
      case 'reset':
        response.socket?.resetAndDestroy();
        return;
      case 'reset_mid_answer':
        response.writeHead(conduct.status, { 'content-length': '1000' });
        response.write('half an answer', () => response.socket?.resetAndDestroy());
        return;
      case 'flood':
        response.writeHead(conduct.status);
        this.#flood(response);
        return;
      case 'drip': {
        response.writeHead(conduct.status);
        this.dripping += 1;
        const timer = setInterval(() => response.write('.'), 10);
        response.on('close', () => {
          this.dripping -= 1;
          clearInterval(timer);
        });
        return;
      }
      case 'garbage':
        response.socket?.write('SSH-2.0-OpenSSH_9.2\r\n');
    }
  }

  /** At most 100 MB. */
  #flood(response: ServerResponse): void {
    const block = 'x'.repeat(64 * 1024);
    while (!response.destroyed && this.flooded < 100e6) {
      this.flooded += block.length;
      if (!response.write(block)) return void response.once('drain', () => this.#flood(response));
    }
    response.end();
  }
}

async function listening(receiver: WebhookReceiver): Promise<WebhookReceiver> {
  await receiver.listen();
  return receiver;
}

/** A port of loopback where nobody listens. */
export async function closedPort(): Promise<number> {
  const server = createNetServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

function selfSigned(): { key: string; cert: string } {
  const directory = mkdtempSync(join(tmpdir(), 'walpost-tls-'));
  const [key, cert] = [join(directory, 'key.pem'), join(directory, 'cert.pem')];
  const command = 'req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost';
  execFileSync('openssl', [...command.split(' '), '-keyout', key, '-out', cert], { stdio: 'ignore' });
  try {
    return { key: readFileSync(key, 'utf8'), cert: readFileSync(cert, 'utf8') };
  } finally {
    rmSync(directory, { recursive: true });
  }
}
