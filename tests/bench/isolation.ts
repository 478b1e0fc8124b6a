/**
 * Whether organizations whose receiver hangs slow down the others: `npm run bench:isolation`.
 *
 * 100 organizations write 2,000 events a second in all. In every other phase ten of them are sent to a receiver that
 * accepts and never answers; in the phases between, those ten write nothing. Compared is the time from the commit to the
 * arrival for the other ninety, phase against phase of one run. `-- --seconds 20 --rounds 5` say how long a
 * phase is and how many pairs there are.
 */
import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { EventReceiver } from '../e2e/event-receiver.ts';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { benchOptions } from './support/options.ts';
import { interleave, median, printTable, quantile, ratio, type Figures, writeReport } from './support/report.ts';

const options = benchOptions({ seconds: 20, rounds: 5, save: 'isolation' });
const TICK_MS = 50;
const PARK_AFTER_S = 5;
const TIMEOUT_S = 5;
const WELL = Array.from({ length: 90 }, () => randomUUID());
const SICK = new Set<string>(Array.from({ length: 10 }, () => randomUUID()));
const script = new URL('../../dist/src/main.js', import.meta.url).pathname;

/** Commits by tick, and how long the events of the ninety were on their way, in milliseconds. */
const commits = new Map<number, number>();
let latencies: { readonly at: number; readonly ms: number }[] = [];
let hanging = false;
let tick = 0;
let written = 0;
let arrived = 0;

const receiver = await EventReceiver.start(({ organization_id: organization, events }) => {
  if (SICK.has(organization)) return hanging ? new Promise(() => undefined) : undefined;
  const now = performance.now();
  for (const { payload } of events) {
    arrived += 1;
    const committed = commits.get((payload as { tick: number }).tick);
    latencies.push({ at: now, ms: committed === undefined ? 0 : now - committed }); // it may arrive before the writer hears of the commit
  }
  return undefined;
});

/** One event of each organization a tick: 20 ticks a second, 100 organizations, 2,000 events. */
async function write(client: pg.Client, organizations: readonly string[], until: number): Promise<void> {
  for (let next = performance.now(); next < until; next += TICK_MS) {
    await delay(Math.max(0, next - performance.now()));
    const now = tick++;
    await client.query(
      `INSERT INTO walpost.outbox (organization_id, event_type, payload)
       SELECT o, 'a.b', jsonb_build_object('tick', $2::int, 'text', repeat('x', 150)) FROM unnest($1::uuid[]) AS o`,
      [organizations, now],
    );
    commits.set(now, performance.now());
    written += WELL.length;
  }
}

async function unconfirmed(database: TestDatabase): Promise<{ bytes: number; wal: number }> {
  const [row] = await database.query<{ bytes: string; wal: string }>(
    `SELECT pg_current_wal_lsn() - confirmed_flush_lsn AS bytes, pg_current_wal_lsn() - '0/0'::pg_lsn AS wal
       FROM pg_replication_slots WHERE slot_name = $1`,
    [database.slotName],
  );
  return { bytes: Number(row?.bytes ?? 0), wal: Number(row?.wal ?? 0) };
}

async function phase(database: TestDatabase, sick: boolean): Promise<Figures> {
  const client = await database.client();
  latencies = [];
  hanging = sick;
  const before = await unconfirmed(database);
  const begun = performance.now();
  const writing = write(client, sick ? [...WELL, ...SICK] : WELL, begun + options.seconds * 1000);
  const samples: number[] = [];
  while (performance.now() - begun < options.seconds * 1000) {
    await delay(500);
    samples.push((await unconfirmed(database)).bytes);
  }
  await writing;
  const seconds = (performance.now() - begun) / 1000;
  const rate = ((await unconfirmed(database)).wal - before.wal) / seconds;
  while (arrived < written) await delay(20);
  const all = latencies.map(({ ms }) => ms);
  const late = latencies.filter(({ at }) => at - begun > (TIMEOUT_S + 1) * 1000).map(({ ms }) => ms);
  const figures = {
    p50: quantile(all, 0.5),
    p99: quantile(all, 0.99),
    p99_after_first_timeouts: quantile(late, 0.99),
    max: all.reduce((most, each) => Math.max(most, each), 0),
    unconfirmed_mib: Math.max(...samples) / 2 ** 20,
    allowed_mib: (rate * (PARK_AFTER_S + TIMEOUT_S + 2)) / 2 ** 20,
  };
  hanging = false;
  await settled(database);
  await client.end();
  return figures;
}

/** What the ten left is delivered before the next phase. */
async function settled(database: TestDatabase): Promise<void> {
  for (;;) {
    const rows = await database.query('SELECT FROM walpost.parked LIMIT 1');
    if (rows.length === 0) break;
    await delay(100);
  }
  await delay(1_000);
}

await using server = await startServer();
await using database = await createTestDatabase({ server: server.url() });
{
  await using walpost = await RunningWalpost.start({
    database,
    sinks: { hook: receiver.sink() },
    config: { delivery: { park_after: `${PARK_AFTER_S}s`, timeout: `${TIMEOUT_S}s` } },
    cli: { script },
  });
  await phase(database, false); // warms up
  const records = await interleave(
    [
      { name: 'without the ten', run: () => phase(database, false) },
      { name: 'ten of 100 hang', run: () => phase(database, true) },
    ],
    options.rounds,
  );
  printTable(records);
  const p99 = ratio(records, 'p99', ['ten of 100 hang', 'without the ten']);
  const late = ratio(records, 'p99_after_first_timeouts', ['ten of 100 hang', 'without the ten']);
  const share = median(
    records.flatMap(({ figures }) => Number(figures['unconfirmed_mib']) / Number(figures['allowed_mib'])),
  );
  console.log(
    `p99 of the ninety, with against without: ${p99.toFixed(2)}, after the first timeouts ${late.toFixed(2)} (aim: at most 1.2)`,
  );
  writeReport({
    name: options.save,
    settings: {
      ...options,
      eventsPerSecond: 2_000,
      organizations: 100,
      hanging: 10,
      parkAfter: PARK_AFTER_S,
      timeout: TIMEOUT_S,
    },
    versions: { postgres: server.version },
    records,
    derived: { p99_ratio: p99, p99_ratio_after_first_timeouts: late, unconfirmed_share_of_allowed: share },
  });
  await walpost.stop();
}
await receiver[Symbol.asyncDispose]();
