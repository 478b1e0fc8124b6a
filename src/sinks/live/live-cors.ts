/**
 * Which web pages may read the answers: those of the origins in live.origins. No cookie lets anybody in, so credentials are not allowed.
 */
import type { IncomingMessage } from 'node:http';

type Headers = Readonly<Record<string, string>>;

/** A page of another origin reads no header of an answer unless it is named: without this one it cannot wait as it is asked to. */
const EXPOSED: Headers = { 'access-control-expose-headers': 'retry-after' };

/** For every answer, also for one that refuses: the page is to read why. */
export function corsHeaders({ headers }: IncomingMessage, origins: readonly string[]): Headers {
  const { origin } = headers;
  if (origins.includes('*')) return { ...EXPOSED, 'access-control-allow-origin': '*' };
  const vary = { vary: 'Origin' };
  if (origin === undefined || !origins.includes(origin)) return vary;
  return { ...vary, ...EXPOSED, 'access-control-allow-origin': origin };
}

export function isPreflight({ method }: IncomingMessage): boolean {
  return method === 'OPTIONS';
}

/** Nothing is allowed to an origin that is not in the list. */
export function preflightHeaders(cors: Headers): Headers {
  if (cors['access-control-allow-origin'] === undefined) return {};
  return {
    'access-control-allow-methods': 'GET, POST',
    'access-control-allow-headers': 'authorization, last-event-id, cache-control, content-type',
    'access-control-max-age': '600',
  };
}
