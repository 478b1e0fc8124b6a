/** What a request to the live channel asks for. */
import type { IncomingMessage } from 'node:http';
import type { LiveFilter } from './live-reader.ts';

/** An answer that is not the one that was asked for. */
export class LiveRefusal extends Error {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;

  constructor(status: number, message: string, headers: Readonly<Record<string, string>> = {}) {
    super(message);
    this.status = status;
    this.headers = headers;
  }
}

export interface StreamQuery {
  readonly page: 'events' | 'ticket';
  readonly ticket: string | undefined;
  readonly lastEventId: string | undefined;
  readonly filter: LiveFilter;
}

const PAGES: ReadonlyMap<string, { readonly page: StreamQuery['page']; readonly method: string }> = new Map([
  ['/live', { page: 'events', method: 'GET' }],
  ['/live/events', { page: 'events', method: 'GET' }],
  ['/live/ticket', { page: 'ticket', method: 'POST' }],
]);
const PARAMETERS = new Set(['ticket', 'last_event_id', 'topic', 'type']);
const MOST_NAMES = 50;
const NOTHING: LiveFilter = { topics: undefined, types: undefined };

/** Throws LiveRefusal: 404, 405, or 400 for a parameter that is none. */
export function readQuery(request: IncomingMessage): StreamQuery {
  const url = request.url ?? '/';
  const mark = url.indexOf('?');
  const found = PAGES.get(mark < 0 ? url : url.slice(0, mark));
  if (!found) throw new LiveRefusal(404, 'not found; there are /live and /live/ticket');
  const { page, method } = found;
  if (request.method !== method && request.method !== 'OPTIONS') {
    throw new LiveRefusal(405, `only ${method}`, { allow: `${method}, OPTIONS` });
  }
  if (mark < 0) return { page, ticket: undefined, lastEventId: undefined, filter: NOTHING };
  const parameters = new URLSearchParams(url.slice(mark + 1));
  // A token would be refused as well: URLs end up in the logs of proxies and in the history of browsers.
  for (const name of parameters.keys()) {
    if (!PARAMETERS.has(name))
      throw new LiveRefusal(400, `there are only the parameters ${[...PARAMETERS].join(', ')}`);
  }
  return {
    page,
    ticket: parameters.get('ticket') ?? undefined,
    lastEventId: parameters.get('last_event_id') ?? undefined,
    filter: { topics: namesIn(parameters, 'topic'), types: namesIn(parameters, 'type') },
  };
}

/** The header wins: a browser sends it when it connects again by itself, and the URL is then the old one. */
export function lastEventIdOf({ headers }: IncomingMessage, query: StreamQuery): string | undefined {
  const given = headers['last-event-id'];
  return (typeof given === 'string' && given !== '' ? given : query.lastEventId) || undefined;
}

/** The token of `Authorization: Bearer …`. */
export function bearerOf({ headers }: IncomingMessage): string | undefined {
  return /^Bearer +([\w.~+/=-]+) *$/i.exec(headers.authorization ?? '')?.[1];
}

/** Repeated, or separated by commas. */
function namesIn(parameters: URLSearchParams, name: string): ReadonlySet<string> | undefined {
  if (!parameters.has(name)) return undefined;
  const names = parameters.getAll(name).flatMap((value) => value.split(','));
  if (names.length > MOST_NAMES) throw new LiveRefusal(400, `names more than ${MOST_NAMES} of ${name}`);
  return new Set(names);
}
