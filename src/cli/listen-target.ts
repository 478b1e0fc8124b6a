/** Where `walpost listen` listens, and with which secrets: the webhooks of the configuration that go to this machine. */
import type { Config } from '../config/schema.ts';
import type { WalpostError } from '../errors.ts';
import { isLoopback } from '../loopback.ts';
import { signingKeys } from '../signing-secret.ts';
import { usage as badFlag } from './flag-values.ts';

export interface ListenFlags {
  readonly sink?: string;
  readonly port?: string;
}

export interface LocalHook {
  readonly name: string;
  readonly host: string;
  readonly port: number;
  readonly path: string;
  /** Undefined when the sink has no secret. */
  readonly keys: readonly Buffer[] | undefined;
}

export interface ListenTarget {
  readonly host: string;
  readonly port: number;
  /** Empty when no sink goes here. */
  readonly hooks: readonly LocalHook[];
}

const USUAL_PORT = 4000;

/** Throws USAGE when the flags name nothing that is there, or when more than one port is meant. */
export function listenTarget(config: Pick<Config, 'sinks'> | undefined, { sink, port }: ListenFlags): ListenTarget {
  const wantedPort = port === undefined ? undefined : portOf(port);
  const all = localHooks(config?.sinks ?? {});
  if (sink !== undefined && !all.some(({ name }) => name === sink)) {
    throw usage(`--sink names no webhook that goes to this machine: there is ${namesOf(all)}, not "${sink}".`);
  }
  const named = all.filter((hook) => sink === undefined || hook.name === sink);
  // With --sink and --port: its secret at another port, as behind a tunnel.
  const hooks = sink !== undefined || wantedPort === undefined ? named : named.filter((h) => h.port === wantedPort);
  const ports = new Set(hooks.map((hook) => hook.port));
  if (wantedPort === undefined && ports.size > 1) throw usage(`Say which with --sink: there is ${namesOf(hooks)}.`);
  const [first] = hooks;
  return { host: first?.host ?? '127.0.0.1', port: wantedPort ?? first?.port ?? USUAL_PORT, hooks };
}

function localHooks(sinks: Config['sinks']): LocalHook[] {
  return Object.entries(sinks).flatMap(([name, sink]) => {
    if (sink.type !== 'webhook' || sink.url === undefined) return [];
    const url = new URL(sink.url);
    const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
    if (url.protocol !== 'http:' || !isLoopback(host)) return [];
    const keys = sink.secret === undefined ? undefined : signingKeys(sink.secret);
    return [{ name, host, port: Number(url.port || 80), path: url.pathname, keys }];
  });
}

/** The sink whose requests come to this path. */
export function hookAt({ hooks }: ListenTarget, path: string): LocalHook | undefined {
  return hooks.find((hook) => hook.path === path.split('?', 1)[0]) ?? (hooks.length === 1 ? hooks[0] : undefined);
}

function namesOf(hooks: readonly LocalHook[]): string {
  return hooks.map(({ name, port }) => `${name} (port ${port})`).join(', ') || 'none';
}

function portOf(text: string): number {
  const port = /^\d{1,5}$/.test(text) ? Number(text) : -1;
  if (port < 0 || port > 65_535) throw usage(`--port takes a number from 0 to 65535, not "${text}".`);
  return port;
}

function usage(detail: string): WalpostError {
  return badFlag(detail, 'See `walpost listen --help`.');
}
