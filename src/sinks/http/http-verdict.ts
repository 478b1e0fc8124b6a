/**
 * Maps HTTP statuses and network errors to verdicts. The two tables below are the whole policy; docs/delivery.md shows them.
 *
 * `unavailable` blames the destination: the lane waits, and nothing counts against the event. `failed` blames the event: the
 * router splits the batch and counts the attempt. A wrong `failed` does less harm, because the router believes it only while
 * the destination accepts other events; a wrong `unavailable` blocks an organization. So a client error that is not clearly
 * about the endpoint, the credentials or the rate is `failed`. No status is `rejected`: after the receiver is repaired, any
 * event may be accepted.
 */
import { STATUS_CODES } from 'node:http';
import type { Verdict } from '../../pipeline.ts';
import { errorName } from '../answer/error-name.ts';
import { PROXY_REFUSED, PROXY_UNREACHABLE } from './proxy-tunnel.ts';
import { ADDRESS_REFUSED } from './ssrf-guard.ts';
import { faultOf, UNASKED_ANSWER } from './unreadable-answer.ts';

export interface StatusRow {
  readonly statuses: string;
  readonly verdict: 'delivered' | 'failed' | 'unavailable';
  readonly why: string;
}

/** The first row that names the status, else the one that names its class. */
export const STATUS_TABLE: readonly StatusRow[] = [
  { statuses: '2xx', verdict: 'delivered', why: 'Whatever the body says.' },
  {
    statuses: '3xx',
    verdict: 'unavailable',
    why: 'Redirects are never followed: put the final URL in the configuration.',
  },
  { statuses: '401, 402, 403, 407', verdict: 'unavailable', why: 'Credentials or the account, not the event.' },
  {
    statuses: '404, 405, 410, 414, 421',
    verdict: 'unavailable',
    why: 'The endpoint is not there, or not there any more.',
  },
  {
    statuses: '406, 411, 415, 426, 428, 451',
    verdict: 'unavailable',
    why: 'The endpoint takes no request of this kind.',
  },
  { statuses: '408, 423, 424, 425, 429', verdict: 'unavailable', why: 'Not now; Retry-After is obeyed.' },
  { statuses: '400, 413, 422', verdict: 'failed', why: 'The content or its size; a batch is split to find the event.' },
  { statuses: '4xx', verdict: 'failed', why: 'Any other client error speaks of the content.' },
  { statuses: '5xx', verdict: 'unavailable', why: 'The receiver is broken or overloaded; Retry-After is obeyed.' },
];

const BY_STATUS = new Map(
  STATUS_TABLE.toReversed().flatMap((row) => row.statuses.split(', ').map((status) => [status, row.verdict])),
);

/** By status; asked for each request. */
const KINDS = Array.from(
  { length: 600 },
  (_, status) => BY_STATUS.get(String(status)) ?? BY_STATUS.get(`${Math.floor(status / 100)}xx`),
);

/** Error codes of Node, OpenSSL, undici and the SSRF guard, as statements about the destination. All are `unavailable`. */
export const ERROR_TABLE: Readonly<Record<string, string>> = {
  [ADDRESS_REFUSED]: 'has a private address, which this sink may not reach (allow_private)',
  ENOTFOUND: 'has a name that DNS does not know',
  EAI_AGAIN: 'could not be looked up: the name server does not answer',
  ECONNREFUSED: 'refused the connection',
  ECONNRESET: 'closed the connection before it answered',
  ECONNABORTED: 'closed the connection before it answered',
  EPIPE: 'closed the connection before it answered',
  UND_ERR_SOCKET: 'closed the connection before it answered',
  EHOSTUNREACH: 'cannot be reached from here',
  ENETUNREACH: 'cannot be reached from here',
  ETIMEDOUT: 'did not accept a connection in time',
  UND_ERR_CONNECT_TIMEOUT: 'did not accept a connection in time',
  UND_ERR_HEADERS_TIMEOUT: 'did not answer in time',
  UND_ERR_BODY_TIMEOUT: 'did not answer in time',
  UND_ERR_HEADERS_OVERFLOW: 'answered with more than 16 KiB of headers',
  UND_ERR_RES_CONTENT_LENGTH_MISMATCH:
    'answered with a Content-Length that is given twice, stands beside Transfer-Encoding, or does not fit the body',
  HPE_INVALID_CONTENT_LENGTH: 'answered with a Content-Length that is no number',
  HPE_CR_EXPECTED: 'answered with lines that end in LF alone, not in CR LF',
  HPE_LF_EXPECTED: 'answered with a CR inside a header',
  HPE_UNEXPECTED_SPACE: 'answered with a header that goes on in the next line',
  HPE_INVALID_HEADER_TOKEN: 'answered with a character that a header cannot hold',
  HPE_INVALID_VERSION: 'answered in a version of HTTP that is not 1.0 or 1.1',
  HPE_INVALID_STATUS: 'answered with a status that is no number',
  HPE_INVALID_TRANSFER_ENCODING: 'answered with a Transfer-Encoding that cannot be read',
  HPE_INVALID_CONSTANT: 'answered something that is not HTTP',
  [UNASKED_ANSWER]: 'answered something that was not asked for, such as 101 Switching Protocols',
  [PROXY_UNREACHABLE]: 'was not asked: the proxy of this sink cannot be reached',
  [PROXY_REFUSED]: 'was not asked: the proxy of this sink does not let the connection pass',
  CERT_HAS_EXPIRED: 'has a certificate that has expired',
  CERT_NOT_YET_VALID: 'has a certificate that is not valid yet',
  CERT_REVOKED: 'has a certificate that was revoked',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'has a certificate that it signed itself',
  SELF_SIGNED_CERT_IN_CHAIN: 'has a certificate from an authority that is not trusted here',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'has a certificate from an authority that is not trusted here',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'has a certificate from an authority that is not trusted here',
  ERR_TLS_CERT_ALTNAME_INVALID: 'has a certificate for another name',
  EPROTO: 'does not speak TLS as expected',
  ERR_SSL_WRONG_VERSION_NUMBER: 'does not speak TLS on this port (is it http:// and not https://?)',
  ERR_SSL_PACKET_LENGTH_TOO_LONG: 'does not speak TLS on this port (is it http:// and not https://?)',
  ERR_SSL_TLSV1_ALERT_NO_APPLICATION_PROTOCOL: 'does not speak HTTP/1.1 over TLS (ALPN)',
};

/** Maximum wait that Retry-After may ask for. */
export const MAX_RETRY_AFTER = 3_600_000;
/** The wait after a refused address: a retry is useless until DNS or the configuration changes. */
const REFUSED_RETRY_AFTER = 60_000;

export interface HttpAnswer {
  readonly status: number;
  /** The raw beginning of the body, to be parsed and never kept. Empty when the status is enough. */
  readonly body: string;
  /** The answer, fit to be kept for operators. */
  readonly answer: string | undefined;
  readonly retryAfter: number | undefined;
  /** Of a redirect: where it points, as a sentence that names a host at most. */
  readonly pointsTo?: string | undefined;
}

export const isDelivered = (status: number): boolean => status >= 200 && status < 300;
export const isRedirect = (status: number): boolean => status >= 300 && status < 400;

/**
 * The organization may read the reason, so every word of it is walpost's own, but for the host that a redirect points to. A
 * hint may follow.
 */
export function verdictOfAnswer({ status, answer, retryAfter, pointsTo }: HttpAnswer, hint?: string): Verdict {
  const kind = KINDS[status] ?? 'unavailable';
  if (kind === 'delivered') return { kind };
  const redirect = pointsTo === undefined ? '' : `, and this one points ${pointsTo}`;
  const told = isRedirect(status) ? `redirects are not followed${redirect}` : hint;
  const named = `the destination answered ${status} ${STATUS_CODES[status] ?? ''}`.trimEnd();
  const said = {
    reason: told === undefined ? named : `${named}: ${told}`,
    code: `HTTP_${status}`,
    ...(answer !== undefined && { answer }),
    ...(retryAfter !== undefined && { retryAfter }),
  };
  // The receiver failed on this request. The router finds out whether it fails on others too.
  return kind === 'unavailable' && status >= 500 ? { kind, ...said, answered: true } : { kind, ...said };
}

/** For a request without an answer. The error's message is left out: it may quote the URL or a header. */
export function verdictOfError(error: unknown): Verdict {
  const name = faultOf(error) ?? errorName(error);
  const sentence = ERROR_TABLE[name] ?? (name.startsWith('ERR_SSL_') ? ERROR_TABLE['EPROTO'] : undefined);
  if (name === ADDRESS_REFUSED) return unavailable(name, sentence ?? '', REFUSED_RETRY_AFTER);
  return unavailable(name, `${sentence ?? 'could not be asked'} (${name})`);
}

function unavailable(code: string, what: string, retryAfter?: number): Verdict {
  const reason = `the destination ${what}`;
  return { kind: 'unavailable', reason, code, ...(retryAfter !== undefined && { retryAfter }) };
}

/** Retry-After as seconds or as a date; milliseconds, undefined when there is nothing to wait for. */
export function parseRetryAfter(header: string | string[] | undefined, wallTime: number): number | undefined {
  const text = (Array.isArray(header) ? header[0] : header)?.trim() ?? '';
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : /^[a-z]/i.test(text) ? Date.parse(text) - wallTime : NaN;
  return wait > 0 ? Math.min(wait, MAX_RETRY_AFTER) : undefined;
}
