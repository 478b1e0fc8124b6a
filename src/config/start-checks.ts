import { publicKeyProblem } from '../public-key.ts';
import { columnProblems } from '../postgres/source/column-mapping.ts';
import { isSourceTable } from '../postgres/source/source-table.ts';
import { isRefusedHost } from '../refused-address.ts';
import type { CrossProblem } from './cross-checks.ts';
import { endpointProblems } from './sinks/endpoint-checks.ts';
import { sinkProblems } from './sinks/sink-checks.ts';

/**
 * What would stop `walpost run` before it connects, told by the parts that would stop. They accept invalid input too, so
 * that all problems of a file are reported together.
 */
export function* startProblems(config: unknown): Generator<CrossProblem> {
  for (const [name, value] of Object.entries(asMap(asMap(config)['sinks']))) {
    const sink = asMap(value);
    for (const { path, message } of [...sinkProblems(sink), ...endpointProblems(sink)])
      yield { path: ['sinks', name, ...path], message, input: sink };
  }
  const alerts = asMap(asMap(config)['alerts']);
  for (const { path, message } of sinkProblems({ ...alerts, type: 'webhook' })) {
    yield { path: ['alerts', ...path], message, input: alerts };
  }
  for (const { option, value, message } of liveProblems(asMap(asMap(config)['live']))) {
    yield { path: ['live', option], message, input: value };
  }
  const source = asMap(asMap(config)['source']);
  const { table, preset = 'walpost', columns = {} } = source;
  if (typeof table === 'string' && table !== '' && !isSourceTable(table)) {
    yield { path: ['source', 'table'], message: 'must be schema.table', input: table };
  }
  if (preset !== 'walpost' && preset !== 'debezium') return;
  for (const { field, problem } of columnProblems({
    preset,
    columns: asMap(columns) as Record<string, string | null>,
  })) {
    yield { path: ['source', 'columns', field], message: problem, input: columns };
  }
}

interface LiveProblem {
  readonly option: string;
  readonly value: unknown;
  readonly message: string;
}

function* liveProblems(live: Record<string, unknown>): Generator<LiveProblem> {
  const { secret, public_key: publicKey, jwks, allow_private: allowPrivate } = live;
  if (typeof secret === 'string' && secret.includes('-----BEGIN')) {
    const message = 'is a key in PEM; a public key belongs into live.public_key';
    yield { option: 'secret', value: secret, message };
  }
  const problem = typeof publicKey === 'string' && publicKey !== '' ? publicKeyProblem(publicKey) : undefined;
  if (problem !== undefined) yield { option: 'public_key', value: publicKey, message: problem };
  if (typeof jwks !== 'string' || !URL.canParse(jwks)) return;
  const { protocol, hostname, username, password } = new URL(jwks);
  if (username !== '' || password !== '') {
    const message = 'holds a user or a password, which are not sent: a key set is public';
    yield { option: 'jwks', value: '(a URL)', message };
  } else if (allowPrivate === true) return;
  else if (isRefusedHost(hostname)) {
    yield { option: 'jwks', value: jwks, message: 'is a private address; set live.allow_private: true to allow it' };
  } else if (protocol === 'http:') {
    const message = 'must begin with https://, since whoever can change the answer can let anybody in';
    yield { option: 'jwks', value: jwks, message };
  }
}

function asMap(value: unknown): Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value) ? (value as Record<string, unknown>) : {};
}
