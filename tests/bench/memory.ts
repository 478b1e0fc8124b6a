/**
 * Peak memory of the real process: `npm run bench:memory [case…]`, on Linux. Each case has a fresh server and a fresh
 * `walpost run`, compiled, with the default budget; the figure is the largest resident size of that process.
 */
import { readFileSync } from 'node:fs';
import { setTimeout as delay } from 'node:timers/promises';
import { EventReceiver } from '../e2e/event-receiver.ts';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';

const LIMIT = 220 * 1024 ** 2;
const SCALE = Number(process.env['WALPOST_BENCH_SCALE'] ?? 1);
const DEADLINE_MS = 240_000;
const built = {
  script: new URL('../../dist/src/main.js', import.meta.url).pathname,
  node: (process.env['WALPOST_BENCH_NODE'] ?? '').split(' ').filter(Boolean),
};

/** Rows whose payload is so long; organizations take turns. */
const insertRows = (rows: number, length: number, organizations: number): string => `
  INSERT INTO walpost.outbox (organization_id, event_type, topic, payload)
  SELECT md5((i % ${organizations})::text)::uuid, 'record.updated', 'cataloging',
         jsonb_build_object('n', i, 'text', repeat('x', ${length}))
    FROM generate_series(1, ${rows}) AS i`;

interface Scene {
  readonly database: TestDatabase;
  readonly receiver: EventReceiver;
  run(config?: Record<string, object>, sinks?: Record<string, object>): Promise<RunningWalpost>;
}

type Case = (scene: Scene) => Promise<{ walpost: RunningWalpost; done: string }>;

const CASES: Readonly<Record<string, Case>> = {
  async idle({ run }) {
    const walpost = await run();
    await delay(3_000);
    return { walpost, done: 'streaming, nothing to do' };
  },
  async transaction({ database, receiver, run }) {
    const rows = 1_000_000 * SCALE;
    const walpost = await run();
    await database.query(insertRows(rows, 160, 200));
    await receiver.received(rows, DEADLINE_MS);
    return { walpost, done: `one transaction of ${rows} rows, ${receiver.batches} requests` };
  },
  async 'one-organization'({ database, receiver, run }) {
    const rows = 300_000 * SCALE;
    const walpost = await run();
    await database.query(insertRows(rows, 160, 1));
    await receiver.received(rows, DEADLINE_MS);
    return { walpost, done: `one transaction of ${rows} rows of one organization` };
  },
  async backlog({ database, receiver, run }) {
    const rows = 2_000_000 * SCALE;
    await (await run()).stop();
    for (let n = 0; n < 200; n++) await database.query(insertRows(rows / 200, 160, 2_000));
    const walpost = await run();
    await receiver.received(rows, DEADLINE_MS);
    return { walpost, done: `a backlog of ${rows} rows` };
  },
  async hang({ database, receiver, run }) {
    receiver.onBatch = () => new Promise<void>(() => undefined);
    const walpost = await run();
    const end = performance.now() + 90_000 * SCALE;
    let rows = 0;
    while (performance.now() < end) {
      await database.query(insertRows(5_000, 160, 200));
      rows += 5_000;
      await delay(500);
    }
    const parked = await walpost.metric('walpost_events_parked_total');
    return { walpost, done: `a sink that hangs, ${rows} rows, ${parked} parked` };
  },
  async large({ database, receiver, run }) {
    await database.query(`
      CREATE TABLE events (id bigint PRIMARY KEY, org text, kind text, body text);
      CREATE PUBLICATION large FOR TABLE events WITH (publish = 'insert')`);
    const columns = { event_id: 'id', organization_id: 'org', event_type: 'kind', payload: 'body' };
    const table = { table: 'public.events', publication: 'large', columns: { ...columns, ...NO_COLUMNS } };
    const walpost = await run({ source: table });
    await database.query(`INSERT INTO events VALUES (1, 'a', 'k', 'before'), (2, 'a', 'k', repeat('x', 50000000))`);
    await database.query(`INSERT INTO events VALUES (3, 'a', 'k', 'after')`);
    await receiver.received(2, 60_000);
    const [letter] = await database.query<{ reason: string; detail: string }>('SELECT * FROM walpost.dead_letters');
    return { walpost, done: `one row of 50 MB: ${letter?.reason}, ${letter?.detail}` };
  },
};

const NO_COLUMNS = Object.fromEntries(
  ['event_version', 'topic', 'entity_type', 'entity_id', 'target', 'idempotency_key', 'headers', 'created_at'].map(
    (field) => [field, null],
  ),
);

async function measure(name: string, use: Case): Promise<boolean> {
  await using server = await startServer('17', {
    settings: { max_wal_size: '8GB', logical_decoding_work_mem: '64MB' },
  });
  await using database = await createTestDatabase({ server: server.url() });
  await using receiver = await EventReceiver.start();
  const started: RunningWalpost[] = [];
  const run: Scene['run'] = async (config = {}, sinks = { hook: receiver.sink() }) => {
    const walpost = await RunningWalpost.start({ database, sinks, config, cli: built });
    started.push(walpost);
    return walpost;
  };
  const begun = performance.now();
  try {
    const { walpost, done } = await use({ database, receiver, run });
    const peak = await walpost.peakMemory();
    const megabytes = (bytes: number): string => (bytes / 1024 ** 2).toFixed(0).padStart(5);
    const seconds = ((performance.now() - begun) / 1000).toFixed(0);
    const buffered = await walpost.metric('walpost_buffered_bytes');
    const verdict = peak <= LIMIT ? '' : `  OVER the limit of ${megabytes(LIMIT).trim()} MB`;
    process.stdout.write(`${megabytes(peak)} MB  ${name}: ${done}, ${seconds} s, ${buffered} buffered now${verdict}\n`);
    return peak <= LIMIT;
  } finally {
    for (const walpost of started) await walpost[Symbol.asyncDispose]();
  }
}

const wanted = process.argv.slice(2);
let good = true;
process.stdout.write(`Node ${process.version}, ${readFileSync('/proc/loadavg', 'utf8').trim()}\n`);
for (const [name, use] of Object.entries(CASES)) {
  if (wanted.length === 0 || wanted.includes(name)) good = (await measure(name, use)) && good;
}
process.exitCode = good ? 0 : 1;
