import type { Config } from '../config/schema.ts';
import { messageOf } from '../errors.ts';
import type { StatusReport } from '../observe/status-report.ts';

/** The report of the running process, or why there is none, as one short sentence. */
export type ProcessAnswer =
  { readonly kind: 'answered'; readonly report: StatusReport } | { readonly kind: 'silent'; readonly reason: string };

const ANSWER_LIMIT_MS = 6_000;
const KEYS = [
  'version',
  'at',
  'leader',
  'slot',
  'lag',
  'lanes',
  'refusing',
  'breakers',
  'parked',
  'deadLetters',
  'jobs',
];

/** Asks /status where the configuration says that the process listens. */
export async function askProcess({ http }: Pick<Config, 'http'>): Promise<ProcessAnswer> {
  const silent = (reason: string): ProcessAnswer => ({ kind: 'silent', reason });
  if (!http.enabled) return silent('No process was asked, since http.enabled is false.');
  if (http.port === 0) return silent('No process was asked, since http.port is 0 and so not known.');
  const url = statusUrl(http.host, http.port);
  try {
    const response = await fetch(url, {
      headers: http.token === undefined ? {} : { authorization: `Bearer ${http.token}` },
      signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
      redirect: 'error',
    });
    if (response.status === 401 || response.status === 403) return silent(`The process at ${url} refused http.token.`);
    const body: unknown = response.ok ? await response.json() : undefined;
    if (isReport(body)) return { kind: 'answered', report: body };
    return silent(`What answered at ${url} gave no status (HTTP ${response.status}).`);
  } catch (error) {
    return silent(`No process answered at ${url} (${reasonOf(error)}).`);
  }
}

/** An address to listen on everywhere is asked on this machine. */
function statusUrl(host: string, port: number): string {
  const reachable = { '0.0.0.0': '127.0.0.1', '::': '::1' }[host] ?? host;
  return `http://${reachable.includes(':') ? `[${reachable}]` : reachable}:${port}/status`;
}

function isReport(body: unknown): body is StatusReport {
  return typeof body === 'object' && body !== null && KEYS.every((key) => key in body);
}

function reasonOf(error: unknown): string {
  const cause = error instanceof Error ? error.cause : undefined;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : undefined;
  return code === 'ECONNREFUSED' ? 'connection refused' : (code ?? messageOf(error));
}
