/**
 * Resend's API for mails: /emails and /emails/batch, with its idempotency keys and the errors that its documentation names.
 * A key that came with another body is refused; one that came with the same body gets the first answer and sends nothing.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { requestBody } from './request-body.ts';

export interface ResendMail {
  readonly from: string;
  readonly to: readonly string[];
  readonly reply_to?: readonly string[];
  readonly subject: string;
  readonly text?: string;
  readonly html?: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly attachments?: readonly { readonly filename: string; readonly content: string; readonly path?: string }[];
}

interface ResendAnswer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body: object | string;
}

/** `late`: the mail is taken, and the connection breaks before the answer. */
export type ResendFault = ResendAnswer | 'hold' | 'late' | 'echo';

export const refusal = (statusCode: number, name: string, message = name): ResendAnswer => ({
  status: statusCode,
  body: { statusCode, name, message },
});

export class ResendFake implements AsyncDisposable {
  static readonly key = 're_s3cretKeyOfResend';
  /** Mails that would be sent, in order. */
  readonly mails: ResendMail[] = [];
  readonly requests: { readonly path: string; readonly key: string; readonly mails: readonly ResendMail[] }[] = [];
  readonly #seen = new Map<string, { readonly body: string; readonly answer: ResendAnswer }>();
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  readonly #faults: ResendFault[] = [];
  readonly #open = new Set<Duplex>();
  readonly #watchers = new Set<() => void>();
  #lasting: ResendFault | undefined;

  private constructor() {
    this.#server.on('connection', (socket: Duplex) => {
      this.#open.add(socket);
      socket.on('close', () => {
        this.#open.delete(socket);
        this.#wake();
      });
    });
  }

  static async start(): Promise<ResendFake> {
    const fake = new ResendFake();
    fake.#server.listen(0, '127.0.0.1');
    await once(fake.#server, 'listening');
    return fake;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  answerNext(...faults: ResendFault[]): void {
    this.#faults.push(...faults);
  }

  answerAlways(fault: ResendFault): void {
    this.#lasting = fault;
  }

  received(count: number): Promise<void> {
    return this.#until(() => this.requests.length >= count);
  }

  released(): Promise<void> {
    return this.#until(() => this.#open.size === 0);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const body = await requestBody(request);
    if (body === null) return;
    const given = JSON.parse(body.toString()) as ResendMail | ResendMail[];
    const mails = Array.isArray(given) ? given : [given];
    const key = String(request.headers['idempotency-key'] ?? '');
    this.requests.push({ path: request.url ?? '', key, mails });
    const fault = this.#faults.shift() ?? this.#lasting;
    if (fault === 'late') this.#answer(request, body.toString(), mails);
    if (fault === 'late') request.socket.destroy();
    else if (fault !== 'hold') {
      const echo = { status: 403, headers: {}, body: `${request.rawHeaders.join('\n')}\n${body.toString()}` };
      const answer = fault === 'echo' ? echo : (fault ?? this.#answer(request, body.toString(), mails));
      const text = typeof answer.body === 'string' ? answer.body : JSON.stringify(answer.body);
      response.writeHead(answer.status, { 'content-type': 'application/json', ...answer.headers }).end(text);
    }
    this.#wake();
  }

  #answer(request: IncomingMessage, body: string, mails: readonly ResendMail[]): ResendAnswer {
    const isBatch = request.url === '/emails/batch';
    if (!isBatch && request.url !== '/emails') return refusal(404, 'not_found');
    if (request.headers.authorization !== `Bearer ${ResendFake.key}`) return refusal(403, 'invalid_api_key');
    const key = String(request.headers['idempotency-key'] ?? '');
    if (key.length < 1 || key.length > 256) return refusal(400, 'invalid_idempotency_key');
    const before = this.#seen.get(key);
    if (before) return before.body === body ? before.answer : refusal(409, 'invalid_idempotent_request');
    if (mails.length > 100 || (isBatch && mails.some(({ attachments }) => attachments)))
      return refusal(422, 'invalid_parameter');
    for (const { to, from, attachments = [] } of mails) {
      if (!/@/.test(from)) return refusal(422, 'invalid_from_address');
      if (to.length > 50 || !to.every((address) => /[^\s<>]+@[^\s<>]+\.[a-z]{2,}>?$/.test(address))) {
        return refusal(422, 'validation_error', 'Invalid `to` field. The email address needs to follow the format');
      }
      if (attachments.some(({ content, path }) => !content || path)) return refusal(422, 'invalid_attachment');
    }
    this.mails.push(...mails);
    const ids = mails.map(() => ({ id: `49a3999c-0ce1-4ea6-ab68-${String(this.mails.length).padStart(12, '0')}` }));
    const answer = { status: 200, body: isBatch ? { data: ids } : (ids[0] ?? {}) };
    this.#seen.set(key, { body, answer });
    return answer;
  }

  #wake(): void {
    for (const watcher of this.#watchers) watcher();
    this.#watchers.clear();
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#watchers.add(resolve));
  }
}
