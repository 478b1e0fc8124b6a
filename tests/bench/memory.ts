/**
 * Peak memory of the real process: `npm run bench:memory [-- --only backlog]`, on Linux. Each case has a fresh server and a fresh
 * `walpost run`, compiled, with the default budget; the figure is the largest resident size of that process.
 */
import { setTimeout as delay } from 'node:timers/promises';
import { EventReceiver } from '../e2e/event-receiver.ts';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { benchOptions } from './support/options.ts';
import { type Figures, interleave, printTable, writeReport } from './support/report.ts';

/** Megabytes; twice the row comes on top where one row is large. */
const LIMIT_MB = 220;
const LARGE_ROW_MB = 50;
const options = benchOptions({ rounds: 1, scale: 1, node: '', only: '', save: 'memory' });
const SCALE = options.scale;
const DEADLINE_MS = 240_000;
const built = {
  script: new URL('../../dist/src/main.js', import.meta.url).pathname,
  node: options.node.split(' ').filter(Boolean),
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

async function measure(use: Case): Promise<Figures> {
  await using server = await startServer('17', {
    settings: { max_wal_size: '8GB', logical_decoding_work_mem: '64MB' },
  });
  versions['postgres'] = server.version;
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
    const seconds = (performance.now() - begun) / 1000;
    console.log(done);
    return { peakMB: (await walpost.peakMemory()) / 1e6, seconds };
  } finally {
    for (const walpost of started) await walpost[Symbol.asyncDispose]();
  }
}

const versions: Record<string, string> = {};
const contestants = Object.entries(CASES)
  .filter(([name]) => options.only === '' || options.only.split(',').includes(name))
  .map(([name, use]) => ({ name, run: () => measure(use) }));
const records = await interleave(contestants, options.rounds);
printTable(records);
const most = Math.max(...records.map(({ figures }) => figures['peakMB'] ?? Number.NaN));
writeReport({ name: options.save, settings: options, versions, records, derived: { 'most, MB': most } });
const limitOf = (name: string): number => LIMIT_MB + (name === 'large' ? 2 * LARGE_ROW_MB : 0);
process.exitCode = records.every(({ name, figures }) => Number(figures['peakMB']) <= limitOf(name)) ? 0 : 1;
