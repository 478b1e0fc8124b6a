/**
 * Slack, as far as messages go: incoming webhooks, which answer with a status and a word, and chat.postMessage, which answers
 * 200 also for a refusal. Limits of blocks and texts, and what a text would do (mentions, links), are those of Slack's
 * documentation. `answerNext` stands for what only happens on a bad day.
 */
import { once } from 'node:events';
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import type { Duplex } from 'node:stream';
import { requestBody } from './request-body.ts';

interface SlackText {
  readonly type: string;
  readonly text: string;
  readonly verbatim?: boolean;
}

export interface ReceivedBlock {
  readonly type: string;
  readonly text?: SlackText;
  readonly fields?: readonly SlackText[];
  readonly elements?: readonly SlackText[];
}

export interface ReceivedMessage {
  readonly channel?: string;
  readonly text?: string;
  readonly blocks?: readonly ReceivedBlock[];
}

export interface SlackAnswer {
  readonly status: number;
  readonly headers?: Record<string, string>;
  readonly body: string | object;
}

export type SlackFault = SlackAnswer | 'hold' | 'reset' | 'echo';

export class SlackFake implements AsyncDisposable {
  static readonly path = '/services/T0AAAAAAA/B0BBBBBBB/s3cretOfTheWebhook';
  static readonly token = 'xoxb-1234567890-s3cretOfTheBot';
  /** Messages that Slack would show, in order. */
  readonly messages: ReceivedMessage[] = [];
  /** Every request, accepted or not. */
  readonly bodies: Buffer[] = [];
  readonly #channels: ReadonlySet<string>;
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  readonly #faults: SlackFault[] = [];
  readonly #open = new Set<Duplex>();
  readonly #watchers = new Set<() => void>();
  #lasting: SlackFault | undefined;

  private constructor(channels: readonly string[]) {
    this.#channels = new Set(channels);
    this.#server.on('connection', (socket: Duplex) => {
      this.#open.add(socket);
      socket.on('close', () => {
        this.#open.delete(socket);
        this.#wake();
      });
    });
  }

  static async start(channels: readonly string[] = ['ops']): Promise<SlackFake> {
    const fake = new SlackFake(channels);
    fake.#server.listen(0, '127.0.0.1');
    await once(fake.#server, 'listening');
    return fake;
  }

  get origin(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  answerNext(...faults: SlackFault[]): void {
    this.#faults.push(...faults);
  }

  answerAlways(fault: SlackFault): void {
    this.#lasting = fault;
  }

  received(count: number): Promise<void> {
    return this.#until(() => this.bodies.length >= count);
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
    this.bodies.push(body);
    const fault = this.#faults.shift() ?? this.#lasting;
    if (fault === 'reset') request.socket.destroy();
    else if (fault !== 'hold') {
      const {
        status,
        headers,
        body: said,
      } = fault === 'echo'
        ? { status: 403, headers: {}, body: `${request.url}\n${request.rawHeaders.join('\n')}\n${body.toString()}` }
        : (fault ?? this.#answer(request, body));
      response.writeHead(status, headers).end(typeof said === 'string' ? said : JSON.stringify(said));
    }
    this.#wake();
  }

  #answer(request: IncomingMessage, body: Buffer): SlackAnswer {
    if (request.url === '/api/auth.test') {
      const isKnown = request.headers.authorization === `Bearer ${SlackFake.token}`;
      return { status: 200, body: isKnown ? { ok: true, team: 'T1' } : { ok: false, error: 'invalid_auth' } };
    }
    const isApi = request.url === '/api/chat.postMessage';
    if (!isApi && request.url !== SlackFake.path) return { status: 404, body: 'no_service' };
    const refuse = (error: string, status: number): SlackAnswer =>
      isApi ? { status: 200, body: { ok: false, error } } : { status, body: error };
    if (isApi && request.headers.authorization !== `Bearer ${SlackFake.token}`) return refuse('invalid_auth', 200);
    let message: ReceivedMessage;
    try {
      message = JSON.parse(body.toString('utf8')) as ReceivedMessage;
    } catch {
      return refuse('invalid_payload', 400);
    }
    if (isApi && !this.#channels.has(message.channel ?? '')) return refuse('channel_not_found', 404);
    if (!message.text && !message.blocks?.length) return refuse('no_text', 400);
    if (!areWithinLimits(message.blocks ?? [])) return refuse('invalid_blocks', 400);
    this.messages.push(message);
    if (!isApi) return { status: 200, body: 'ok' };
    return { status: 200, body: { ok: true, channel: 'C123', ts: '1503435956.000247', message } };
  }

  #wake(): void {
    for (const watcher of this.#watchers) watcher();
    this.#watchers.clear();
  }

  async #until(condition: () => boolean): Promise<void> {
    while (!condition()) await new Promise<void>((resolve) => this.#watchers.add(resolve));
  }
}

function areWithinLimits(blocks: readonly ReceivedBlock[]): boolean {
  const fits = (text: SlackText | undefined, most: number): boolean =>
    text === undefined || (text.text.length > 0 && text.text.length <= most);
  return (
    blocks.length <= 50 &&
    blocks.every(({ type, text, fields = [], elements = [] }) => {
      if (!['section', 'context', 'header', 'divider'].includes(type)) return false;
      if (!fits(text, type === 'header' ? 150 : 3000) || fields.length > 10 || elements.length > 10) return false;
      return fields.every((field) => fits(field, 2000));
    })
  );
}

/** The texts of a message in which Slack would look for mentions and links. */
export function textsOf({ text, blocks = [] }: ReceivedMessage): readonly string[] {
  const inside = blocks.flatMap((block) => [block.text, ...(block.fields ?? []), ...(block.elements ?? [])]);
  return [text ?? '', ...inside.map((found) => found?.text ?? '')];
}
