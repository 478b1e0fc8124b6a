/**
 * From what HTTP and the network say to a verdict. The two tables below are the whole policy; docs/delivery.md prints them.
 *
 * The question is whose fault it is. `unavailable` means the destination: the lane waits, nothing counts against the
 * event. `failed` means the event, this time: the router splits the batch and counts. A wrong `failed` is the lesser
 * evil, because the router believes it only while the destination accepts other events; a wrong `unavailable` holds an
 * organization up. So a client error that is not plainly about the endpoint, the credentials or the rate is `failed`.
 * Nothing here is `rejected`: no status says that an event can never be delivered once the receiver is repaired.
 */
import { STATUS_CODES } from 'node:http';
import type { Verdict } from '../pipeline.ts';
import { ADDRESS_REFUSED } from './ssrf-guard.ts';

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

/** Error codes of Node, OpenSSL, undici and the guard, with what they say of the host. All of them are `unavailable`. */
export const ERROR_TABLE: Readonly<Record<string, string>> = {
  [ADDRESS_REFUSED]: 'is a private address, which this sink may not reach (allow_private)',
  ENOTFOUND: 'is a name that DNS does not know',
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
  UND_ERR_HEADERS_OVERFLOW: 'answered with too many headers',
  CERT_HAS_EXPIRED: 'has a certificate that has expired',
  CERT_NOT_YET_VALID: 'has a certificate that is not valid yet',
  CERT_REVOKED: 'has a certificate that was revoked',
  DEPTH_ZERO_SELF_SIGNED_CERT: 'has a certificate that it signed itself',
  SELF_SIGNED_CERT_IN_CHAIN: 'has a certificate from an authority that is not trusted here',
  UNABLE_TO_GET_ISSUER_CERT_LOCALLY: 'has a certificate from an authority that is not trusted here',
  UNABLE_TO_VERIFY_LEAF_SIGNATURE: 'has a certificate from an authority that is not trusted here',
  ERR_TLS_CERT_ALTNAME_INVALID: 'has a certificate for another name',
  EPROTO: 'does not speak TLS as expected',
};

/** A wait longer than this is not believed: the destination is asked again after it. */
export const MAX_RETRY_AFTER = 3_600_000;
/** Until DNS or the configuration changes, asking again is of no use. */
const REFUSED_RETRY_AFTER = 60_000;

export interface HttpAnswer {
  readonly host: string;
  readonly status: number;
  /** What the body says, cut and cleaned. */
  readonly excerpt: string;
  readonly retryAfter: number | undefined;
}

export function verdictOfAnswer(answer: HttpAnswer): Verdict {
  const { host, status, excerpt, retryAfter } = answer;
  const kind = BY_STATUS.get(String(status)) ?? BY_STATUS.get(`${Math.floor(status / 100)}xx`) ?? 'unavailable';
  if (kind === 'delivered') return { kind };
  const hint = kind === 'unavailable' && status < 400 ? 'redirects are not followed' : excerpt;
  const named = `${host} answered ${status} ${STATUS_CODES[status] ?? ''}`.trimEnd();
  const said = { reason: hint ? `${named}: ${hint}` : named, ...(retryAfter === undefined ? {} : { retryAfter }) };
  // The receiver broke over this request; the router finds out whether it breaks over others too.
  return kind === 'unavailable' && status >= 500 ? { kind, ...said, answered: true } : { kind, ...said };
}

/** An exchange that ended without an answer. The error's message stays out: it may quote the URL. */
export function verdictOfError(host: string, error: unknown): Verdict {
  const code = codeOf(error);
  if (code === ADDRESS_REFUSED) {
    return { kind: 'unavailable', reason: `${host} ${ERROR_TABLE[code]}`, retryAfter: REFUSED_RETRY_AFTER };
  }
  if (code?.startsWith('HPE_') || nameOf(error) === 'HTTPParserError') {
    return { kind: 'unavailable', reason: `${host} answered something that is not HTTP` };
  }
  const sentence = code === undefined ? undefined : ERROR_TABLE[code];
  if (sentence) return { kind: 'unavailable', reason: `${host} ${sentence} (${code})` };
  return { kind: 'unavailable', reason: `${host} could not be asked (${code ?? nameOf(error)})` };
}

/** Retry-After as seconds or as a date; milliseconds, undefined when there is nothing to wait for. */
export function parseRetryAfter(header: string | string[] | undefined, wallTime: number): number | undefined {
  const text = (Array.isArray(header) ? header[0] : header)?.trim() ?? '';
  const wait = /^\d+$/.test(text) ? Number(text) * 1000 : /^[a-z]/i.test(text) ? Date.parse(text) - wallTime : NaN;
  return wait > 0 ? Math.min(wait, MAX_RETRY_AFTER) : undefined;
}

function codeOf(error: unknown): string | undefined {
  if (typeof error !== 'object' || error === null) return undefined;
  if ('code' in error && typeof error.code === 'string') return error.code;
  return 'cause' in error ? codeOf(error.cause) : undefined;
}

function nameOf(error: unknown): string {
  return error instanceof Error ? error.name : typeof error;
}
