/**
 * One HTTP endpoint with its own connections, and a POST with bounded cost: at most one socket per batch in flight, no
 * redirects, a few KiB of an answer, and no work after the signal aborts.
 */
import { STATUS_CODES } from 'node:http';
import { Agent, request } from 'undici';
import type { Clock } from '../../clock.ts';
import { orAborted } from '../../or-aborted.ts';
import { wireBytes } from '../../wire-text.ts';
import { AnswerText } from '../answer/answer-text.ts';
import { type HttpAnswer, isDelivered, isRedirect, parseRetryAfter } from './http-verdict.ts';
import { secretsOfHeader, secretsOfUrl } from '../answer/known-secrets.ts';
import type { Sent } from '../answer/sent-events.ts';
import { decodedStart } from './content-encoding.ts';
import { type ConnectorOptions, guardedConnector } from './ssrf-guard.ts';

const MAX_ANSWER_BYTES = 8 * 1024;
/** Maximum time for the body after the head. The status has decided by then; the body only explains it and frees the socket. */
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
  /** Values to remove from answers, in addition to the credentials and the query of the URL. */
  readonly secrets: readonly (string | Buffer)[];
  /** The path of the URL is a secret as well. */
  readonly secretPath: boolean;
  readonly clock: Clock;
  /** The URL of an outbound proxy. */
  readonly proxy?: string | undefined;
  /** PEM of the authorities to trust, in place of the usual ones. */
  readonly ca?: string | undefined;
  /** Connections that others use too, in place of its own; whoever made them closes them. */
  readonly agent?: Agent;
}

/** How its connections are made. */
export type HttpWay = Pick<HttpTargetOptions, 'connections' | 'timeout' | 'allowPrivate' | 'proxy' | 'ca'> &
  Pick<ConnectorOptions, 'allowLoopback' | 'checksBehindProxy'>;

export function httpAgent({ connections, timeout = MAX_CONNECT_TIME, proxy, ...way }: HttpWay): Agent {
  const via = proxy === undefined ? undefined : new URL(proxy);
  return new Agent({
    connections,
    connect: guardedConnector({ ...way, timeout: Math.min(timeout, MAX_CONNECT_TIME), proxy: via }),
    headersTimeout: 0,
    bodyTimeout: 0,
  });
}

export interface HttpPost {
  /** Instead of the path of the URL. */
  readonly path?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly sent: Sent;
  /** The bytes of `sent.body`, when the caller has them already. */
  readonly bytes?: Buffer;
  /** The body of an answer of 2xx is wanted too: it may be a refusal. */
  readonly readsAccepted?: boolean;
  /** Secrets of this request alone. */
  readonly secrets?: readonly string[];
}

type AnswerBody = Awaited<ReturnType<typeof request>>['body'];

interface Reading {
  readonly signal: AbortSignal;
  /** The Content-Encoding. */
  readonly encoding: string;
}

/** The beginning of a body; it is decoded only on demand. */
interface Start {
  readonly text: () => string;
  readonly cut: boolean;
}

export class HttpTarget {
  private readonly agent: Agent;
  private readonly origin: string;
  private readonly path: string;
  private readonly headers: Record<string, string>;
  private readonly answerText: AnswerText;
  private readonly clock: Clock;

  constructor(options: HttpTargetOptions) {
    const url = new URL(options.url);
    const proxy = options.proxy === undefined ? undefined : new URL(options.proxy);
    this.origin = url.origin;
    this.path = url.pathname + url.search;
    this.clock = options.clock;
    this.headers = { ...basicAuthorization(url), ...options.headers };
    this.answerText = new AnswerText(() => [
      ...secretsOfUrl(url, { path: options.secretPath }),
      ...Object.values(basicAuthorization(url)).flatMap(secretsOfHeader),
      ...(proxy ? secretsOfUrl(proxy, { path: false }) : []),
      ...options.secrets,
    ]);
    this.agent = options.agent ?? httpAgent(options);
  }

  /** Resolves with the answer, whatever its status. Throws when there is none. */
  async post(post: HttpPost, signal: AbortSignal): Promise<HttpAnswer> {
    // undici notices an abort only once it is connected, which an address that swallows packets delays.
    const answer = await orAborted(
      request(this.origin + (post.path ?? this.path), {
        dispatcher: this.agent,
        method: 'POST',
        headers: { ...this.headers, ...post.headers },
        body: post.bytes ?? wireBytes(post.sent.body),
        signal,
      }),
      signal,
    );
    const { statusCode: status, statusText } = answer;
    const said = await this.readStart(answer.body, {
      signal,
      encoding: String(answer.headers['content-encoding'] ?? ''),
    });
    if (isDelivered(status) && post.readsAccepted !== true)
      return { status, body: '', answer: undefined, retryAfter: undefined };
    const retryAfter = parseRetryAfter(answer.headers['retry-after'], this.clock.wallTime());
    // The text of a redirect is never read, and of its target only the host.
    if (isRedirect(status)) {
      const pointsTo = this.whereTo(answer.headers['location'], post);
      return { status, body: '', answer: undefined, retryAfter, pointsTo };
    }
    const phrase = statusText === STATUS_CODES[status] ? '' : statusText;
    const body = said.text();
    return {
      status,
      body,
      answer: this.answerText.keep({ text: `${phrase} ${body}`.trim(), cut: said.cut }, post.sent, post.secrets),
      retryAfter,
    };
  }

  /** A host that holds a secret of the sink, or what was sent, is not named. */
  private whereTo(location: string | string[] | undefined, { sent, secrets }: HttpPost): string | undefined {
    const target = typeof location === 'string' && URL.canParse(location, this.origin) ? location : undefined;
    if (target === undefined) return undefined;
    const { hostname, protocol } = new URL(target, this.origin);
    const own = new URL(this.origin);
    if (hostname !== own.hostname) {
      const shown = this.answerText.keep({ text: hostname, cut: false }, sent, secrets);
      return shown === hostname ? `to ${hostname}` : undefined;
    }
    return protocol === own.protocol ? 'to another path of the same host' : `to ${protocol}// at the same host`;
  }

  /** Destroys the remaining connections. No request may be in flight. */
  async close(): Promise<void> {
    await this.agent.destroy();
  }

  /** The first bytes of the body. When the body ends within the bounds the socket stays open; otherwise it is destroyed. */
  private readStart(body: AnswerBody, { signal, encoding }: Reading): Promise<Start> {
    return new Promise((resolve) => {
      const chunks: Buffer[] = [];
      let length = 0;
      const finish = (whole = false): void => {
        patience.cancel();
        signal.removeEventListener('abort', cut);
        body.off('data', take);
        body.destroy();
        const text = (): string =>
          decodedStart(Buffer.concat(chunks).subarray(0, MAX_ANSWER_BYTES), encoding)
            .subarray(0, MAX_ANSWER_BYTES)
            .toString('utf8');
        resolve({ text, cut: !whole });
      };
      const cut = (): void => finish();
      const take = (chunk: Buffer): void => {
        chunks.push(chunk);
        length += chunk.length;
        if (length >= MAX_ANSWER_BYTES) finish();
      };
      const patience = this.clock.schedule(ANSWER_PATIENCE, cut);
      signal.addEventListener('abort', cut, { once: true });
      body
        .on('error', cut)
        .on('end', () => finish(true))
        .on('data', take);
      if (signal.aborted) finish();
    });
  }
}

function basicAuthorization(url: URL): Record<string, string> {
  if (!url.username && !url.password) return {};
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return { authorization: `Basic ${Buffer.from(pair, 'utf8').toString('base64')}` };
}
