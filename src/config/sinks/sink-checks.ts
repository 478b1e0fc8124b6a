/**
 * What must hold inside one sink beyond the type of each option. `config check` and the start of a sink ask the same
 * question, so what the one accepts does not stop the other.
 */
import { validateHeaderName, validateHeaderValue } from 'node:http';
import { certificateProblem } from '../../certificate-file.ts';
import { connectionStringProblem } from '../../connection-string.ts';
import { quoteQualified } from '../../postgres/identifiers.ts';
import { isLoopback } from '../../loopback.ts';
import { isRefusedHost } from '../../refused-address.ts';
import { signingSecretProblem } from '../../signing-secret.ts';
import { brokerProblems } from './broker-checks.ts';
import { kindOf } from '../../template/escapes.ts';
import { MailFolder } from '../../template/mail-folder.ts';
import { templateOf } from '../../template/template-source.ts';
import { hasHttpOptions } from './http-options.ts';
import { isSetByWalpost } from './own-headers.ts';
import { redisUrlProblem } from './redis-options.ts';

/** A problem of a sink; the path begins below the sink's name. */
export interface SinkProblem {
  readonly path: readonly string[];
  /** Holds nothing of the value. */
  readonly message: string;
}

/** What stands between `//` and the path. */
const AUTHORITY = /^\s*[a-z]+:\/*([^/?#\\]*)/i;

type SinkInput = Readonly<Record<string, unknown>>;

/** Takes invalid input too; what the type of an option refuses is not repeated. */
export function* sinkProblems(sink: SinkInput): Generator<SinkProblem> {
  const { type } = sink;
  yield* brokerProblems(sink);
  if (type === 'redis' || type === 'bullmq') yield* redisProblems(sink);
  if (type === 'postgres') yield* inboxProblems(sink);
  if (hasHttpOptions(type)) yield* httpProblems(sink);
  if (type === 'live') yield* problem(['order'], liveOrderProblem(sink['order']));
}

/** Readers go on behind the last event that they have. */
function liveOrderProblem(order: unknown): string | undefined {
  if (order !== 'entity' && order !== 'none') return undefined;
  return 'must be organization: a channel is read in that order';
}

function* httpProblems(sink: SinkInput): Generator<SinkProblem> {
  const { secret, key, headers, proxy, ca } = sink;
  yield* urlProblems(sink);
  if (typeof proxy === 'string') yield* problem(['proxy'], proxyProblem(proxy.trim()));
  if (typeof ca === 'string' && ca !== '') yield* problem(['ca'], certificateProblem(ca));
  if (typeof secret === 'string') yield* problem(['secret'], signingSecretProblem(secret));
  if (typeof key === 'string') yield* problem(['key'], keyProblem(key));
  yield* bodyProblems(sink);
  if (sink['type'] === 'realtime') yield* formProblems(sink);
  if (sink['type'] === 'slack') yield* slackProblems(sink);
  if (sink['type'] === 'email') yield* emailProblems(sink);
  if (typeof headers !== 'object' || headers === null) return;
  for (const [name, value] of Object.entries(headers)) {
    if (typeof value === 'string') yield* problem(['headers', name], headerProblem(name.toLowerCase(), value.trim()));
  }
}

function* redisProblems({ type, url, ca, cluster, prefix }: SinkInput): Generator<SinkProblem> {
  if (typeof url === 'string') yield* problem(['url'], redisUrlProblem(url.trim()));
  if (typeof ca === 'string' && ca !== '') yield* problem(['ca'], certificateProblem(ca));
  if (type === 'bullmq' && Array.isArray(cluster)) yield* problem(['prefix'], prefixProblem(prefix));
}

function* inboxProblems({ url, table }: SinkInput): Generator<SinkProblem> {
  if (typeof url === 'string') yield* problem(['url'], connectionStringProblem(url.trim()));
  if (typeof table === 'string') yield* problem(['table'], tableProblem(table));
}

function tableProblem(table: string): string | undefined {
  try {
    quoteQualified(table);
    return undefined;
  } catch {
    return 'is not a name like schema.table';
  }
}

/** A batch is one transaction, and a cluster takes those of one slot alone. */
function prefixProblem(prefix: unknown): string | undefined {
  if (typeof prefix === 'string' && /\{[^}]+\}/.test(prefix)) return undefined;
  return 'needs a hash tag in a cluster, such as {walpost}';
}

function* problem(path: readonly string[], message: string | undefined): Generator<SinkProblem> {
  if (message !== undefined) yield { path, message };
}

function* bodyProblems({ body, content_type: type, batch, preset, format }: Readonly<Record<string, unknown>>) {
  if (typeof body === 'string' && body !== '') {
    const template = templateOf(body, kindOf(typeof type === 'string' ? type : 'application/json'));
    yield* problem(['body'], typeof template === 'string' ? template : undefined);
    if (format === 'cloudevents')
      yield* problem(['format'], 'does not go together with a body, which has a form of its own');
  } else if (type !== undefined) yield* problem(['content_type'], 'needs a body');
  if (batch !== true || (body === undefined && preset === undefined)) return;
  yield* problem(
    ['batch'],
    `must not be true with a ${body === undefined ? 'preset' : 'body'}, which is about one event`,
  );
}

/** A message about many events has the fields of none. */
function* formProblems({ form, event, body }: SinkInput): Generator<SinkProblem> {
  if (form !== 'list' && form !== 'invalidate') return;
  if (typeof event === 'string' && /[{}]/.test(event)) {
    yield { path: ['event'], message: `must be a plain name with form: ${form}, whose messages are about many events` };
  }
  if (body !== undefined) yield { path: ['body'], message: 'is about one event; it goes with form: events' };
}

function* slackProblems({ url, token, channel, templates }: Readonly<Record<string, unknown>>): Generator<SinkProblem> {
  if (token === undefined && url === undefined)
    yield { path: ['url'], message: 'is missing; or give token and channel' };
  if (token !== undefined && channel === undefined)
    yield { path: ['channel'], message: 'is missing; a token needs it' };
  if (token === undefined && channel !== undefined) {
    yield { path: ['channel'], message: 'needs a token; an incoming webhook has its channel' };
  }
  if (typeof token === 'string') yield* problem(['token'], keyProblem(token));
  if (typeof url === 'string' && URL.canParse(url) && isOpen(new URL(url))) {
    yield { path: ['url'], message: 'must begin with https://, since it carries a secret' };
  }
  if (typeof templates !== 'object' || templates === null) return;
  for (const [type, source] of Object.entries(templates)) {
    const template = typeof source === 'string' && source !== '' ? templateOf(source, 'slack') : undefined;
    yield* problem(['templates', type], typeof template === 'string' ? template : undefined);
  }
}

function* emailProblems(sink: Readonly<Record<string, unknown>>): Generator<SinkProblem> {
  const { provider, url, key: apiKey, batch, proxy, templates } = sink;
  const isSmtp = provider === 'smtp';
  const sends = sink['dry_run'] === undefined;
  if (sends && isSmtp && url === undefined)
    yield { path: ['url'], message: 'is missing; SMTP needs smtp://user:password@host:587' };
  if (sends && provider === 'resend' && apiKey === undefined) {
    yield { path: ['key'], message: 'is missing; Resend needs it' };
  }
  if (isSmtp && apiKey !== undefined)
    yield { path: ['key'], message: 'is for Resend; SMTP has user and password in the url' };
  if (isSmtp && batch === true) yield { path: ['batch'], message: 'is for Resend; by SMTP each mail goes alone' };
  if (isSmtp && proxy !== undefined && proxy !== 'none')
    yield { path: ['proxy'], message: 'is for Resend; SMTP goes directly' };
  if (typeof url === 'string' && (isSmtp || provider === 'resend')) yield* mailUrlProblems(url, isSmtp);
  if (typeof templates !== 'string' || templates === '') return;
  const folder = MailFolder.read(templates);
  yield* problem(['templates'], typeof folder === 'string' ? folder : undefined);
}

function* mailUrlProblems(url: string, isSmtp: boolean): Generator<SinkProblem> {
  const wanted = isSmtp ? /^smtps?:$/ : /^https?:$/;
  const isUrl = URL.canParse(url) && wanted.test(new URL(url).protocol) && new URL(url).hostname !== '';
  const begins = isSmtp ? 'smtp:// or smtps://' : 'https://';
  if (!isUrl) yield { path: ['url'], message: `must be a URL that begins with ${begins}` };
  else if (isOpen(new URL(url)))
    yield { path: ['url'], message: 'must begin with https://, since it carries a secret' };
}

/** Readable on its way, outside this machine. */
function isOpen({ protocol, hostname }: URL): boolean {
  return protocol === 'http:' && !isLoopback(hostname.replace(/^\[(.*)\]$/, '$1'));
}

function* urlProblems({ url: text, allow_private: allowPrivate }: Readonly<Record<string, unknown>>) {
  if (typeof text !== 'string' || !URL.canParse(text)) return;
  yield* problem(['url'], credentialsProblem(text));
  if (allowPrivate === true || !isRefusedHost(new URL(text).hostname)) return;
  yield* problem(['url'], 'is a private address; set allow_private: true to allow it');
}

function credentialsProblem(text: string): string | undefined {
  const authority = AUTHORITY.exec(text)?.[1] ?? '';
  const credentials = authority.slice(0, Math.max(0, authority.lastIndexOf('@')));
  if (/%(?![\da-f]{2})/i.test(credentials)) {
    return 'has a % in its user or password that encodes nothing; write it as %25';
  }
  return decodes(credentials) ? undefined : 'has %-codes in its user or password that are not UTF-8';
}

function decodes(text: string): boolean {
  try {
    decodeURIComponent(text);
    return true;
  } catch {
    return false;
  }
}

function proxyProblem(text: string): string | undefined {
  if (text === '' || text === 'none') return undefined;
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    return 'must be a URL that begins with http:// or https://, or none';
  }
  return credentialsProblem(text);
}

function keyProblem(key: string): string | undefined {
  return /^[!-~]*$/.test(key.trim())
    ? undefined
    : 'holds a blank, a line break or a character that is not ASCII; a key has none';
}

function headerProblem(name: string, value: string): string | undefined {
  if (isSetByWalpost(name)) return 'is a header that walpost sets itself';
  if (value === '') return 'is empty; give it a value or leave it out';
  try {
    validateHeaderName(name);
    validateHeaderValue(name, value);
    return undefined;
  } catch {
    return 'is not a valid HTTP header';
  }
}
