/**
 * One HTTP endpoint with its own connections, and a POST with bounded cost: at most one socket per batch in flight, no
 * redirects, a few KiB of an answer, and no work after the signal aborts.
 */
import { STATUS_CODES } from 'node:http';
import { Agent } from 'undici';
import type { Clock } from '../../clock.ts';
import { wireBytes } from '../../wire-text.ts';
import { AnswerText } from '../answer/answer-text.ts';
import { type HttpAnswer, isDelivered, isRedirect, parseRetryAfter } from './http-verdict.ts';
import { secretsOfHeader, secretsOfUrl } from '../answer/known-secrets.ts';
import type { Sent } from '../answer/sent-events.ts';
import { decodedStart } from './content-encoding.ts';
import { type AnswerStart, exchange, MAX_ANSWER_BYTES } from './exchange.ts';
import { type ConnectorOptions, guardedConnector } from './ssrf-guard.ts';

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

/** Lower-case names and their values in turn. Objects that are spread into each other cost ten times as much for each request. */
export type HeaderList = readonly string[];

export interface HttpPost {
  /** Instead of the path of the URL. */
  readonly path?: string;
  readonly headers: HeaderList;
  readonly sent: Sent;
  /** The bytes of `sent.body`, when the caller has them already. */
  readonly bytes?: Buffer;
  /** The body of an answer of 2xx is wanted too: it may be a refusal. */
  readonly readsAccepted?: boolean;
  /** Secrets of this request alone. */
  readonly secrets?: readonly string[];
}

export class HttpTarget {
  private readonly agent: Agent;
  private readonly origin: string;
  private readonly path: string;
  private readonly headers: readonly (readonly [name: string, value: string])[];
  private readonly answerText: AnswerText;
  private readonly clock: Clock;

  constructor(options: HttpTargetOptions) {
    const url = new URL(options.url);
    const proxy = options.proxy === undefined ? undefined : new URL(options.proxy);
    this.origin = url.origin;
    this.path = url.pathname + url.search;
    this.clock = options.clock;
    this.headers = Object.entries({ ...basicAuthorization(url), ...options.headers });
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
    const answer = await exchange(
      this.agent,
      {
        origin: this.origin,
        path: post.path ?? this.path,
        method: 'POST',
        headers: this.withOwn(post.headers),
        body: post.bytes ?? wireBytes(post.sent.body),
      },
      { signal, clock: this.clock },
    );
    const { status, statusText } = answer;
    if (isDelivered(status) && post.readsAccepted !== true)
      return { status, body: '', answer: undefined, retryAfter: undefined };
    const retryAfter = parseRetryAfter(answer.headers['retry-after'], this.clock.wallTime());
    // The text of a redirect is never read, and of its target only the host.
    if (isRedirect(status)) {
      const pointsTo = this.whereTo(answer.headers['location'], post);
      return { status, body: '', answer: undefined, retryAfter, pointsTo };
    }
    const phrase = statusText === STATUS_CODES[status] ? '' : statusText;
    const body = textOf(answer);
    return {
      status,
      body,
      answer: this.answerText.keep({ text: `${phrase} ${body}`.trim(), cut: answer.cut }, post.sent, post.secrets),
      retryAfter,
    };
  }

  /** A request's own header goes instead of the target's of that name. */
  private withOwn(own: HeaderList): string[] {
    const list = [...own];
    for (const [name, value] of this.headers) if (!hasName(own, name)) list.push(name, value);
    return list;
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
}

function hasName(headers: HeaderList, name: string): boolean {
  for (let at = 0; at < headers.length; at += 2) if (headers[at] === name) return true;
  return false;
}

function textOf({ chunks, headers }: AnswerStart): string {
  const bytes = Buffer.concat(chunks).subarray(0, MAX_ANSWER_BYTES);
  const decoded = decodedStart(bytes, String(headers['content-encoding'] ?? ''));
  return decoded.subarray(0, MAX_ANSWER_BYTES).toString('utf8');
}

function basicAuthorization(url: URL): Record<string, string> {
  if (!url.username && !url.password) return {};
  const pair = `${decodeURIComponent(url.username)}:${decodeURIComponent(url.password)}`;
  return { authorization: `Basic ${Buffer.from(pair, 'utf8').toString('base64')}` };
}
