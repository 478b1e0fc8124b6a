/**
 * One HTTP endpoint with connections of its own, and a POST that cannot cost more than its bounds: no more sockets than
 * batches in flight, no redirect, no more than a few KiB of an answer, and nothing after the signal aborts.
 */
import { Agent, request } from 'undici';
import type { Clock } from '../clock.ts';
import { type HttpAnswer, parseRetryAfter } from './http-verdict.ts';
import { reasonText } from './reason-text.ts';
import { guardedConnector } from './ssrf-guard.ts';

const MAX_ANSWER_BYTES = 8 * 1024;
/** The status has decided already: how long the rest of an answer may take for the sake of the reason and the socket. */
const ANSWER_PATIENCE = 1000;
const MAX_CONNECT_TIME = 10_000;

export interface HttpTargetOptions {
  readonly url: string;
  /** Lower-case names. */
  readonly headers: Readonly<Record<string, string>>;
  readonly connections: number;
  /** Milliseconds; the signal of a request may end it earlier. */
  readonly timeout: number | undefined;
  readonly allowPrivate: boolean;
  /** Values that must not come back out of an answer into a reason. */
  readonly secrets: readonly string[];
  readonly clock: Clock;
}

export interface HttpPost {
  /** Instead of the path of the URL. */
  readonly path?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Buffer;
  /** Where an answer holds one of these it repeats the request, payloads and all: the reason ends there. */
  readonly marks?: readonly string[];
}

type AnswerBody = Awaited<ReturnType<typeof request>>['body'];

export class HttpTarget {
  /** Host and port: all of the URL that may be shown. */
  readonly host: string;
  readonly #agent: Agent;
  readonly #origin: string;
  readonly #path: string;
  readonly #headers: Record<string, string>;
  readonly #secrets: readonly string[];
  readonly #clock: Clock;

  constructor(options: HttpTargetOptions) {
    const url = new URL(options.url);
    const { allowPrivate, connections, timeout = MAX_CONNECT_TIME } = options;
    this.host = url.host;
    this.#origin = url.origin;
    this.#path = url.pathname + url.search;
    this.#clock = options.clock;
    this.#headers = { ...basicAuthorization(url), ...options.headers };
    const confidential = [
      this.#path,
      url.pathname,
      url.search.slice(1),
      url.username,
      url.password,
      ...options.secrets,
    ];
    this.#secrets = confidential.toSorted((a, b) => b.length - a.length);
    this.#agent = new Agent({
      connections,
      connect: guardedConnector({ allowPrivate, timeout: Math.min(timeout, MAX_CONNECT_TIME) }),
      headersTimeout: 0,
      bodyTimeout: 0,
    });
  }

  /** The answer, whatever its status; throws when there is none. */
  async post(post: HttpPost, signal: AbortSignal): Promise<HttpAnswer> {
    const answer = await orAborted(
      request(this.#origin + (post.path ?? this.#path), {
        dispatcher: this.#agent,
        method: 'POST',
        headers: { ...this.#headers, ...post.headers },
        body: post.body,
        signal,
      }),
      signal,
    );
    const text = await this.#readStart(answer.body, signal);
    return {
      host: this.host,
      status: answer.statusCode,
      excerpt: reasonText(beforeMarks(text, post.marks), this.#secrets),
      retryAfter: parseRetryAfter(answer.headers['retry-after'], this.#clock.wallTime()),
    };
  }

  /** Destroys what is left: no request is out any more. */
  async close(): Promise<void> {
    await this.#agent.destroy();
  }

  /** The first bytes of the body. A body that ends within the bounds leaves the socket usable; any other destroys it. */
  #readStart(body: AnswerBody, signal: AbortSignal): Promise<string> {
    return new Promise((resolve) => {
      const chunks: Buffer[] = [];
      let length = 0;
      const finish = (): void => {
        patience.cancel();
        signal.removeEventListener('abort', finish);
        body.off('data', take);
        body.destroy();
        resolve(Buffer.concat(chunks).subarray(0, MAX_ANSWER_BYTES).toString('utf8'));
      };
      const take = (chunk: Buffer): void => {
        chunks.push(chunk);
        length += chunk.length;
        if (length >= MAX_ANSWER_BYTES) finish();
      };
      const patience = this.#clock.schedule(ANSWER_PATIENCE, finish);
      signal.addEventListener('abort', finish, { once: true });
      body.on('error', finish).on('end', finish).on('data', take);
      if (signal.aborted) finish();
    });
  }
}

/** undici hears an abort only once the connection is there, which an address that swallows packets can hold up. */
function orAborted<T>(work: Promise<T>, signal: AbortSignal): Promise<T> {
  return new Promise((resolve, reject) => {
    const abort = (): void => reject(new DOMException('aborted', 'AbortError'));
    if (signal.aborted) abort();
    signal.addEventListener('abort', abort, { once: true });
    work.then(resolve, reject).finally(() => signal.removeEventListener('abort', abort));
  });
}

function beforeMarks(text: string, marks: readonly string[] = []): string {
  const places = marks.map((mark) => text.indexOf(mark)).filter((place) => place >= 0);
  return places.length === 0 ? text : `${text.slice(0, Math.min(...places))}…`;
}

function basicAuthorization(url: URL): Record<string, string> {
  if (!url.username && !url.password) return {};
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return { authorization: `Basic ${Buffer.from(pair, 'utf8').toString('base64')}` };
}
