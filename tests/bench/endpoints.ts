/**
 * Whether endpoints that hang slow down the others:
 * `npm run bench:endpoints [-- --seconds 20 --rounds 3 --concurrency 32 --rate 400]`.
 *
 * 2,000 customers have five endpoints each. 400 events a second make 2,000 requests a second. In every other phase one endpoint
 * in twenty accepts and never answers. Compared is the time from the commit to the arrival at the other endpoints, phase
 * against phase of one run, each endpoint once for an event. Events that hung are sent before the next phase.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { CustomerEndpoints } from '../support/customer-endpoints.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';
import { cpuMsOf, statusField } from './support/child.ts';
import { benchOptions } from './support/options.ts';
import { type Figures, interleave, printTable, quantile, ratio, writeReport } from './support/report.ts';

const options = benchOptions({
  customers: 2_000,
  seconds: 20,
  rounds: 3,
  rate: 400,
  concurrency: 32,
  save: 'endpoints',
});
const EACH = 5;
const HANGS = 20;
const TICK_MS = 50;
const DEADLINE_MS = 120_000;
const script = new URL('../../dist/src/main.js', import.meta.url).pathname;
const isSick = (endpoint: number): boolean => endpoint % HANGS === 0;

await using endpoints = await CustomerEndpoints.start({ customers: options.customers, each: EACH });
const commits = new Map<number, number>();
let latencies: number[] = [];
endpoints.onArrival = ({ endpoint, events, at }) => {
  if (isSick(endpoint)) return;
  for (const { write } of events) latencies.push(Math.max(0, at - (commits.get(write) ?? at)));
};

async function write(database: TestDatabase, until: number): Promise<void> {
  const client = await database.client();
  const perTick = Math.round((options.rate * TICK_MS) / 1000);
  let next = 0;
  for (let at = performance.now(); at < until; at += TICK_MS) {
    await delay(Math.max(0, at - performance.now()));
    const chosen = Array.from({ length: perTick }, () => next++ % options.customers);
    commits.set(await endpoints.write(client, chosen), performance.now());
  }
  await client.end();
}

async function phase(database: TestDatabase, walpost: RunningWalpost, sick: boolean): Promise<Figures> {
  const { pid } = walpost.cli.child;
  endpoints.hangs = sick ? isSick : () => false;
  latencies = [];
  const [begun, cpu] = [performance.now(), cpuMsOf(pid)];
  await write(database, performance.now() + options.seconds * 1000);
  await poll('the others have all', async () => endpoints.behind === 0 || undefined, DEADLINE_MS);
  const busy = (100 * (Number(cpuMsOf(pid)) - Number(cpu))) / (performance.now() - begun);
  const figures = {
    p50: quantile(latencies, 0.5),
    p99: quantile(latencies, 0.99),
    max: quantile(latencies, 1),
    requests: latencies.length,
    cpuPercent: busy,
  };
  endpoints.hangs = () => false;
  endpoints.cutConnections();
  await poll('those that hung have all', async () => endpoints.behind === 0 || undefined, DEADLINE_MS);
  await poll(
    'nothing is parked',
    async () => (await database.query('SELECT FROM walpost.parked LIMIT 1')).length === 0 || undefined,
    DEADLINE_MS,
  );
  if (endpoints.faults.length > 0) throw new Error(endpoints.faults.slice(0, 5).join('\n'));
  await delay(1_000);
  return figures;
}

await using server = await startServer();
await using database = await createTestDatabase({ server: server.url() });
await endpoints.add(database, 'customers');
const { concurrency } = options;
await using walpost = await RunningWalpost.start({
  database,
  sinks: { customers: { type: 'webhook', endpoints: true, allow_loopback: true, concurrency } },
  config: { delivery: { park_after: '5s', timeout: '5s' } },
  cli: { script },
});
await phase(database, walpost, false); // warms up
const records = await interleave(
  [
    { name: 'all answer', run: () => phase(database, walpost, false) },
    { name: 'one in twenty hangs', run: () => phase(database, walpost, true) },
  ],
  options.rounds,
);
printTable(records);
const p99 = ratio(records, 'p99', ['one in twenty hangs', 'all answer']);
const peakMiB = statusField(walpost.cli.child.pid, 'VmHWM') ?? NaN;
console.log(`p99 of the others, with against without: ${p99.toFixed(2)} (aim: at most 1.2); peak ${peakMiB} MiB`);
writeReport({
  name: options.save,
  settings: { ...options, endpoints: options.customers * EACH },
  versions: { postgres: server.version },
  records,
  derived: { p99_ratio: p99, peak_mib: peakMiB },
});
await walpost.stop();
