/**
 * Whether endpoints that hang slow down the others: `npm run bench:endpoints [-- --seconds 20 --rounds 3]`.
 *
 * 2,000 customers have five endpoints each. 400 events a second make 2,000 requests a second. In every other phase one endpoint
 * in twenty accepts and never answers. Compared is the time from the commit to the arrival at the other endpoints, phase
 * against phase of one run, each endpoint once for an event. Events that hung are sent before the next phase.
 */
import { randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';
import type { AddressInfo } from 'node:net';
import { setTimeout as delay } from 'node:timers/promises';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { statusField } from './support/child.ts';
import { benchOptions } from './support/options.ts';
import { type Figures, interleave, printTable, quantile, ratio, writeReport } from './support/report.ts';

const options = benchOptions({ customers: 2_000, seconds: 20, rounds: 3, save: 'endpoints' });
const EACH = 5;
const HANGS = 20;
const TICK_MS = 50;
const EVENTS_A_TICK = 20;
const CUSTOMERS = Array.from({ length: options.customers }, () => randomUUID());
const script = new URL('../../dist/src/main.js', import.meta.url).pathname;

const commits = new Map<number, number>();
let latencies: number[] = [];
let hanging = false;
let tick = 0;
let expected = 0;
let arrived = 0;

const receiver = createServer((request, response) => {
  const at = performance.now();
  const sick = Number(request.url?.split('/').at(-1)) % HANGS === 0;
  const chunks: Buffer[] = [];
  request.on('data', (chunk: Buffer) => chunks.push(chunk));
  request.on('end', () => {
    if (sick && hanging) return;
    const { events } = JSON.parse(Buffer.concat(chunks).toString()) as { events: { payload: { tick: number } }[] };
    if (!sick) {
      arrived += events.length;
      for (const { payload } of events) latencies.push(Math.max(0, at - (commits.get(payload.tick) ?? at)));
    }
    response.writeHead(204).end();
  });
});
receiver.listen(0, '127.0.0.1');
await once(receiver, 'listening');
const { port } = receiver.address() as AddressInfo;

async function addEndpoints(database: TestDatabase): Promise<void> {
  await database.query(`UPDATE walpost.settings SET value = 'true' WHERE name = 'endpoints_on_loopback'`);
  await database.query(
    `SELECT walpost.add_endpoint(sink => 'customers', organization_id => o.id, url => format('http://127.0.0.1:%s/%s', $2::int, o.n * $3 + e.n))
       FROM unnest($1::uuid[]) WITH ORDINALITY AS o (id, n), generate_series(1, $3::int) AS e (n)`,
    [CUSTOMERS, port, EACH],
  );
}

/** Endpoints 1 … customers * EACH, of which each customer has EACH in a row. */
const healthyOf = (customer: number): number =>
  Array.from({ length: EACH }, (_, n) => (customer + 1) * EACH + n + 1).filter((n) => n % HANGS !== 0).length;

async function write(database: TestDatabase, until: number): Promise<void> {
  const client = await database.client();
  let next = 0;
  for (let at = performance.now(); at < until; at += TICK_MS) {
    await delay(Math.max(0, at - performance.now()));
    const chosen = Array.from({ length: EVENTS_A_TICK }, () => next++ % CUSTOMERS.length);
    const now = tick++;
    await client.query(
      `INSERT INTO walpost.outbox (organization_id, event_type, payload)
       SELECT o, 'a.b', jsonb_build_object('tick', $2::int, 'text', repeat('x', 150)) FROM unnest($1::uuid[]) AS o`,
      [chosen.map((customer) => CUSTOMERS[customer]), now],
    );
    commits.set(now, performance.now());
    for (const customer of chosen) expected += healthyOf(customer);
  }
  await client.end();
}

async function phase(database: TestDatabase, sick: boolean): Promise<Figures> {
  hanging = sick;
  latencies = [];
  await write(database, performance.now() + options.seconds * 1000);
  while (arrived < expected) await delay(20);
  const figures = { p50: quantile(latencies, 0.5), p99: quantile(latencies, 0.99), requests: latencies.length };
  hanging = false;
  receiver.closeAllConnections();
  while ((await database.query('SELECT FROM walpost.parked LIMIT 1')).length > 0) await delay(200);
  await delay(1_000);
  return figures;
}

await using server = await startServer();
await using database = await createTestDatabase({ server: server.url() });
await addEndpoints(database);
{
  await using walpost = await RunningWalpost.start({
    database,
    sinks: { customers: { type: 'webhook', endpoints: true, allow_loopback: true, concurrency: 256 } },
    config: { delivery: { park_after: '5s', timeout: '5s' } },
    cli: { script },
  });
  await phase(database, false); // warms up
  const records = await interleave(
    [
      { name: 'all answer', run: () => phase(database, false) },
      { name: 'one in twenty hangs', run: () => phase(database, true) },
    ],
    options.rounds,
  );
  printTable(records);
  const p99 = ratio(records, 'p99', ['one in twenty hangs', 'all answer']);
  const peakMiB = statusField(walpost.cli.child.pid, 'VmHWM') ?? NaN;
  console.log(`p99 of the others, with against without: ${p99.toFixed(2)} (aim: at most 1.2); peak ${peakMiB} MiB`);
  writeReport({
    name: options.save,
    settings: { ...options, endpoints: options.customers * EACH, eventsPerSecond: (1000 / TICK_MS) * EVENTS_A_TICK },
    versions: { postgres: server.version },
    records,
    derived: { p99_ratio: p99, peak_mib: peakMiB },
  });
  await walpost.stop();
}
receiver.closeAllConnections();
receiver.close();
