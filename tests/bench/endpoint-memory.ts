/**
 * What endpoints cost in memory beside organizations: `npm run bench:endpoint-memory [-- --lanes 10000 --rounds 3]`, on Linux.
 *
 * Three processes, each with a fresh server: one that has nothing to do, one with a webhook for 10,000 organizations, one with
 * 10,000 endpoints of 2,000 customers. All lanes get an event at once, three times, and then again while every request is
 * answered 503. Counted is what is alive after a collection of garbage, asked for over the debugger's port of Node.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { WebSocket } from 'undici';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { CustomerEndpoints } from '../support/customer-endpoints.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';
import { benchOptions } from './support/options.ts';
import { type Figures, interleave, medians, printTable, writeReport } from './support/report.ts';

const options = benchOptions({ lanes: 10_000, rounds: 3, save: 'endpoint-memory' });
const EACH = 5;
const WAVES = 3;
const DEADLINE_MS = 600_000;
const WINDOW_MS = 15_000;
const script = new URL('../../dist/src/main.js', import.meta.url).pathname;
const config = {
  batching: { window: `${WINDOW_MS}ms` },
  delivery: { park_after: '20s', timeout: '10s' },
};

/** What the process holds after a collection, in MB: the heap and what is outside of it, as buffers. */
async function liveMB(walpost: RunningWalpost): Promise<number> {
  const address = /Debugger listening on (ws:\S+)/.exec(walpost.cli.stderr)?.[1] ?? '';
  const socket = new WebSocket(address);
  await new Promise((resolve, reject) => {
    socket.addEventListener('open', resolve);
    socket.addEventListener('error', () => reject(new Error(`no debugger at ${address}`)));
  });
  const ask = (id: number, method: string, params: object = {}): Promise<unknown> =>
    new Promise((resolve) => {
      const take = ({ data }: { data: unknown }): void => {
        const answer = JSON.parse(String(data)) as { id?: number; result?: { result?: { value?: unknown } } };
        if (answer.id === id) resolve(answer.result?.result?.value);
      };
      socket.addEventListener('message', take);
      socket.send(JSON.stringify({ id, method, params }));
    });
  await ask(1, 'HeapProfiler.collectGarbage');
  await ask(2, 'HeapProfiler.collectGarbage');
  const expression = '(({ heapUsed, external }) => heapUsed + external)(process.memoryUsage())';
  const bytes = await ask(3, 'Runtime.evaluate', { expression });
  socket.close();
  return Number(bytes) / 1e6;
}

interface Scene {
  readonly endpoints: CustomerEndpoints;
  readonly database: TestDatabase;
  readonly walpost: RunningWalpost;
}

async function wave({ endpoints, database }: Scene): Promise<void> {
  const client = await database.client();
  await endpoints.write(client, [...endpoints.organizations.keys()]);
  await client.end();
}

async function measured(scene: Scene, lanes: number): Promise<Figures> {
  const { endpoints, database, walpost } = scene;
  const parked = async (): Promise<number> =>
    Number((await database.query<{ n: string }>('SELECT count(*) AS n FROM walpost.parked'))[0]?.n);
  for (let n = 0; n < WAVES; n++) {
    await wave(scene);
    await poll('all have it', async () => endpoints.behind === 0 || undefined, DEADLINE_MS);
  }
  await delay(2_000);
  const restMB = await liveMB(walpost);
  await wave(scene);
  await poll(
    'all lanes wait',
    async () => (await walpost.metric('walpost_lanes', 'state="gathering"')) >= lanes || undefined,
    DEADLINE_MS,
  );
  const waitingMB = await liveMB(walpost);
  endpoints.answer = 503;
  await poll('all is parked', async () => (await parked()) >= lanes || undefined, DEADLINE_MS);
  await delay(2_000);
  const failingMB = await liveMB(walpost);
  const peakMB = (await walpost.peakMemory()) / 1e6;
  if (endpoints.faults.length > 0) throw new Error(endpoints.faults.slice(0, 5).join('\n'));
  return { restMB, waitingMB, failingMB, peakMB };
}

async function run(kind: 'idle' | 'organizations' | 'endpoints'): Promise<Figures> {
  await using server = await startServer();
  versions['postgres'] = server.version;
  await using database = await createTestDatabase({ server: server.url() });
  const isCustomers = kind === 'endpoints';
  const each = isCustomers ? EACH : 1;
  await using endpoints = await CustomerEndpoints.start({ customers: options.lanes / each, each });
  if (isCustomers) await endpoints.add(database, 'hooks');
  const sink = isCustomers ? { endpoints: true, allow_loopback: true } : { url: endpoints.url, allow_private: true };
  await using walpost = await RunningWalpost.start({
    database,
    sinks: { hooks: { type: 'webhook', concurrency: 256, ...sink } },
    config,
    cli: { script, node: ['--inspect=127.0.0.1:0'] },
  });
  if (kind === 'idle') {
    await delay(3_000);
    return { restMB: await liveMB(walpost), peakMB: (await walpost.peakMemory()) / 1e6 };
  }
  return await measured({ endpoints, database, walpost }, options.lanes); // before all of it is disposed of
}

const versions: Record<string, string> = {};
const records = await interleave(
  (['idle', 'organizations', 'endpoints'] as const).map((kind) => ({ name: kind, run: () => run(kind) })),
  options.rounds,
);
printTable(records);
const all = medians(records);
const derived: Record<string, number> = {};
const idle = all['idle']?.['restMB'] ?? Number.NaN;
for (const state of ['restMB', 'waitingMB', 'failingMB', 'peakMB']) {
  const [endpoints, organizations] = [all['endpoints']?.[state], all['organizations']?.[state]].map(Number);
  derived[`${state}_ratio`] = Number(endpoints) / Number(organizations);
  if (state !== 'peakMB') derived[`${state}_above_idle`] = Number(endpoints) - idle;
}
console.log(derived);
writeReport({ name: options.save, settings: { ...options, each: EACH }, versions, records, derived });
