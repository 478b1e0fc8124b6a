/** Everything that the soak starts: a server, two walposts with a faulty line each, receivers and writers. */
import { once } from 'node:events';
import { mkdtemp } from 'node:fs/promises';
import { type AddressInfo, createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type pg from 'pg';
import { type EmbeddedPostgres, startEmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import type { Random } from '../../src/demo/transaction-plan.ts';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { RelayChild } from './relay-child.ts';
import { SoakReceiver } from './soak-receiver.ts';
import { SoakWriter } from './soak-writer.ts';
import { newClient } from '../support/client.ts';

export const TAKEOVER_AFTER_MS = 2_000;
const SLOT = 'walpost_soak';
const WRITERS = 4;
const ORGANIZATIONS_EACH = 10;

export interface Member {
  readonly relay: RelayChild;
  readonly line: TcpProxy;
}

export interface SoakStage {
  readonly directory: string;
  readonly postgres: EmbeddedPostgres;
  readonly members: readonly Member[];
  /** Has bad days. */
  readonly hook: SoakReceiver;
  /** Has none, and must not notice. */
  readonly mirror: SoakReceiver;
  readonly writers: readonly SoakWriter[];
}

/** What is started goes onto `releases` at once, last come first released. */
export async function setStage(
  given: { readonly random: Random; readonly rate: number },
  releases: (() => Promise<unknown>)[],
): Promise<SoakStage> {
  const directory = await mkdtemp(join(tmpdir(), 'walpost-soak-'));
  const postgres = await startEmbeddedPostgres({ settings: { wal_sender_timeout: '10s' } });
  releases.push(() => postgres[Symbol.asyncDispose]());
  await migrate(postgres.url());
  const [hook, mirror] = [await SoakReceiver.start('hook'), await SoakReceiver.start('mirror')];
  releases.push(
    () => hook[Symbol.asyncDispose](),
    () => mirror[Symbol.asyncDispose](),
  );
  const members: Member[] = [];
  for (const name of ['a', 'b']) {
    const line = await TcpProxy.before(postgres.url());
    releases.push(() => line[Symbol.asyncDispose]());
    const config = configOf({ url: line.url(postgres.url()), port: await freePort(), hook, mirror });
    const relay = new RelayChild(name, directory, config);
    releases.push(() => relay.stop());
    await relay.start();
    members.push({ relay, line });
  }
  await slotIsThere(postgres.url());
  const writers = Array.from({ length: WRITERS }, (_, index) => {
    const organizations = Array.from({ length: ORGANIZATIONS_EACH }, (_, each) => organizationId(index, each));
    return new SoakWriter({ url: postgres.url(), organizations, rate: given.rate / WRITERS, random: given.random });
  });
  return { directory, postgres, members, hook, mirror, writers };
}

function organizationId(writer: number, index: number): string {
  return `0000000${writer}-0000-7000-8000-0000000000${String(index).padStart(2, '0')}`;
}

function configOf(given: { url: string; port: number; hook: SoakReceiver; mirror: SoakReceiver }) {
  const webhook = (receiver: SoakReceiver): object => ({ type: 'webhook', url: receiver.url, allow_private: true });
  return {
    database: { url: given.url },
    source: { slot: SLOT },
    batching: { window: '50ms' },
    delivery: { timeout: '2s', park_after: '1s', breaker: { reset_after: '1s' } },
    leader: { takeover_after: `${TAKEOVER_AFTER_MS}ms` },
    sinks: { hook: webhook(given.hook), mirror: webhook(given.mirror) },
    routes: [{ to: ['hook', 'mirror'] }],
    http: { port: given.port },
    log: { format: 'json' },
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, '127.0.0.1');
  await once(server, 'listening');
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, 'close');
  return port;
}

/** What is written before the first slot is outside the promise. */
async function slotIsThere(url: string): Promise<void> {
  const deadline = performance.now() + 60_000;
  while (performance.now() < deadline) {
    const [row] = await ask<{ active: boolean }>(url, 'SELECT active FROM pg_replication_slots WHERE slot_name = $1', [
      SLOT,
    ]);
    if (row?.active) return;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  throw new Error('no walpost streams');
}

/** The rows of one question, over a connection of its own. */
export async function ask<R extends pg.QueryResultRow>(url: string, sql: string, values: unknown[] = []): Promise<R[]> {
  const client = newClient({ connectionString: url, application_name: 'walpost soak' });
  await client.connect();
  try {
    return (await client.query<R>(sql, values)).rows;
  } finally {
    await client.end();
  }
}
