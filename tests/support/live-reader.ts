import { SignJWT } from 'jose';

export const LIVE_SECRET = 'a-secret-of-the-live-channel-0123456789';

/** One message, as a client reads it. */
export interface LiveMessage {
  readonly id: string | undefined;
  readonly event: string;
  readonly data: string;
}

export interface TokenFields {
  readonly organization?: unknown;
  /** Seconds since the epoch; an hour from now by default. */
  readonly exp?: number;
  readonly secret?: string;
  readonly claims?: Readonly<Record<string, unknown>>;
}

export function liveToken({ organization, exp, secret = LIVE_SECRET, claims = {} }: TokenFields): Promise<string> {
  return new SignJWT({ organization_id: organization, ...claims })
    .setProtectedHeader({ alg: 'HS256' })
    .setExpirationTime(exp ?? Math.floor(Date.now() / 1000) + 3600)
    .sign(new TextEncoder().encode(secret));
}

export interface OpenOptions {
  readonly token?: string;
  readonly query?: string;
  readonly lastEventId?: string;
}

/** A stream that is read as it comes. */
export class LiveClient implements AsyncDisposable {
  readonly response: Response;
  readonly messages: LiveMessage[] = [];
  /** Everything, as it came. */
  text = '';
  /** Resolves when the stream has ended. */
  readonly ended: Promise<void>;
  private readonly abort: AbortController;
  private waiting: (() => void)[] = [];
  private rest = '';

  private constructor(response: Response, abort: AbortController) {
    this.response = response;
    this.abort = abort;
    this.ended = this.read().catch(() => undefined);
  }

  static async open(port: number, { token, query = '', lastEventId }: OpenOptions): Promise<LiveClient> {
    const abort = new AbortController();
    const headers = {
      ...(token !== undefined && { authorization: `Bearer ${token}` }),
      ...(lastEventId !== undefined && { 'last-event-id': lastEventId }),
    };
    return new LiveClient(
      await fetch(`http://127.0.0.1:${port}/live${query}`, { headers, signal: abort.signal }),
      abort,
    );
  }

  /** Resolves when that many messages with the name, or of any event, are there. */
  async gets(count: number, name?: string): Promise<readonly LiveMessage[]> {
    for (;;) {
      const found = this.messages.filter(({ event }) =>
        name === undefined ? !event.startsWith('walpost.') : event === name,
      );
      if (found.length >= count) return found;
      await new Promise<void>((resolve) => this.waiting.push(resolve));
    }
  }

  get lastId(): string | undefined {
    return this.messages.findLast(({ id }) => id !== undefined)?.id;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.abort.abort();
    await this.ended;
  }

  private async read(): Promise<void> {
    const decoder = new TextDecoder();
    for await (const part of this.response.body ?? []) {
      const text = decoder.decode(part as Uint8Array, { stream: true });
      this.text += text;
      const blocks = (this.rest + text).split('\n\n');
      this.rest = blocks.pop() ?? '';
      for (const block of blocks) this.take(block.split('\n'));
      for (const resolve of this.waiting.splice(0)) resolve();
    }
  }

  private take(lines: readonly string[]): void {
    const valuesOf = (name: string): string[] =>
      lines.filter((line) => line.startsWith(`${name}: `)).map((line) => line.slice(name.length + 2));
    const data = valuesOf('data');
    if (data.length === 0) return;
    this.messages.push({ id: valuesOf('id')[0], event: valuesOf('event')[0] ?? 'message', data: data.join('\n') });
  }
}
