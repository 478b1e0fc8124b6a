import { isLoopback } from '../loopback.ts';
import type { OptionPath } from './config-problem.ts';
import { didYouMean } from './did-you-mean.ts';
import { endpointsOutlivePrune } from './sinks/endpoint-checks.ts';

export interface CrossProblem {
  readonly path: OptionPath;
  readonly message: string;
  readonly input: unknown;
}

/**
 * Checks between options. They accept invalid input too, so that their problems are reported together with those of single
 * options.
 */
export function crossCheck(config: unknown): CrossProblem[] {
  return [
    ...routesNameSinks(config),
    ...formerNamesAreFree(config),
    ...newSlotHasName(config),
    ...openHostNeedsToken(config),
    ...filterNeedsPgoutput(config),
    ...liveNeedsKey(config),
    ...livePortIsFree(config),
    ...entitiesAreKnown(config),
    ...endpointsOutlivePrune(config),
  ];
}

function* routesNameSinks(config: unknown): Generator<CrossProblem> {
  const names = Object.keys(asMap(asMap(config)['sinks']));
  for (const [index, route] of asList(asMap(config)['routes']).entries()) {
    for (const [place, name] of asList(asMap(route)['to']).entries()) {
      if (typeof name !== 'string' || names.includes(name)) continue;
      const hint = didYouMean(name, names) || `; there is ${names.join(', ') || 'none'}`;
      yield { path: ['routes', index, 'to', place], message: `names no sink${hint}`, input: name };
    }
  }
}

function* formerNamesAreFree(config: unknown): Generator<CrossProblem> {
  const sinks = asMap(asMap(config)['sinks']);
  const claimed = new Set<string>();
  for (const [name, sink] of Object.entries(sinks)) {
    const former = asMap(sink)['formerly'];
    if (typeof former !== 'string') continue;
    const path = ['sinks', name, 'formerly'];
    if (Object.hasOwn(sinks, former)) yield { path, message: 'names a sink that is still there', input: former };
    else if (claimed.has(former)) yield { path, message: 'is claimed by two sinks', input: former };
    claimed.add(former);
  }
}

function* newSlotHasName(config: unknown): Generator<CrossProblem> {
  const { slot, takes_over: former } = asMap(asMap(config)['source']);
  if (former === undefined || slot !== undefined) return;
  yield { path: ['source', 'takes_over'], message: 'needs the new name in source.slot', input: former };
}

function* openHostNeedsToken(config: unknown): Generator<CrossProblem> {
  const http = asMap(asMap(config)['http']);
  const host = http['host'];
  if (http['enabled'] === false || typeof host !== 'string' || isLoopback(host) || http['token'] !== undefined) return;
  const message = 'is reachable from other machines, so http.token must be set (or use 127.0.0.1)';
  yield { path: ['http', 'host'], message, input: host };
}

/** wal2json does not read publications: it would stream rows that the scans leave out. */
function* filterNeedsPgoutput(config: unknown): Generator<CrossProblem> {
  const { row_filter: filter, plugin } = asMap(asMap(config)['source']);
  if (filter !== 'expected' || plugin !== 'wal2json') return;
  yield {
    path: ['source', 'row_filter'],
    message: 'needs source.plugin: pgoutput, which alone reads publications',
    input: filter,
  };
}

/** One listener, so one sink; and without a key nobody could be let in. */
function* liveNeedsKey(config: unknown): Generator<CrossProblem> {
  const sinks = Object.entries(asMap(asMap(config)['sinks'])).filter(([, sink]) => asMap(sink)['type'] === 'live');
  const [first, second] = sinks.map(([name]) => name);
  if (first === undefined) return;
  if (second !== undefined) {
    yield { path: ['sinks', second, 'type'], message: `is live as that of ${first}; there can be one`, input: 'live' };
  }
  const { secret, public_key: publicKey, jwks } = asMap(asMap(config)['live']);
  if (secret === undefined && publicKey === undefined && jwks === undefined) {
    const message = 'needs live.secret, live.public_key or live.jwks, which tells who may listen';
    yield { path: ['sinks', first, 'type'], message, input: 'live' };
  }
}

/** The process would wait for a port that it has itself. */
function* livePortIsFree(config: unknown): Generator<CrossProblem> {
  const sinks = Object.values(asMap(asMap(config)['sinks']));
  const [http, { port }] = [asMap(asMap(config)['http']), asMap(asMap(config)['live'])];
  if (!sinks.some((sink) => asMap(sink)['type'] === 'live') || http['enabled'] === false) return;
  if (port === 0 || typeof port !== 'number' || port !== http['port']) return;
  yield { path: ['live', 'port'], message: 'is the port of http.port; the two are never one listener', input: port };
}

/** Events without an entity are in the order of their organization: all of them, here. */
function* entitiesAreKnown(config: unknown): Generator<CrossProblem> {
  const { columns } = asMap(asMap(config)['source']);
  if (asMap(columns)['entity_id'] !== null) return;
  for (const [name, sink] of Object.entries(asMap(asMap(config)['sinks']))) {
    if (asMap(sink)['order'] !== 'entity') continue;
    const message = 'needs a column for entity_id, and source.columns has none';
    yield { path: ['sinks', name, 'order'], message, input: 'entity' };
  }
}

function asMap(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}

function asList(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}
