/**
 * How long the views take with ten million rows in the outbox, a million parked, a million dead letters, and how long
 * prune keeps others waiting: `npm run bench:views [-- --millions 10 --rounds 5]`. The time is that of EXPLAIN ANALYZE; the plan
 * of what took longer than it should is printed, and all are written to docs/evidence/plans.md.
 */
import { writeFileSync } from 'node:fs';
import { loadavg } from 'node:os';
import { join } from 'node:path';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { startServer } from '../support/server.ts';
import { benchOptions } from './support/options.ts';
import {
  type Contestant,
  type Figures,
  interleave,
  median,
  printTable,
  ROOT,
  type RunRecord,
  writeReport,
} from './support/report.ts';
import { newClient } from '../support/client.ts';

const options = benchOptions({ millions: 10, rounds: 5, save: 'views' });
const ALLOWED_MS = 200;
const ORGANIZATIONS = 1_000;

await using server = await startServer('17', {
  settings: { shared_buffers: '1GB', max_wal_size: '8GB', synchronous_commit: 'off', maintenance_work_mem: '512MB' },
});
await migrate(server.url());
const client = newClient({ connectionString: server.url() });
await client.connect();
const say = (line: string): void => void process.stdout.write(`${line}\n`);

const ORGANIZATION = `('00000000-0000-4000-8000-' || lpad((n % ${ORGANIZATIONS})::text, 12, '0'))::uuid`;

async function fill(): Promise<void> {
  await client.query(
    `INSERT INTO walpost.cursor (slot, system_identifier, timeline, lsn, advanced_at)
     SELECT 'bench', system_identifier::text, 1, '0/1', now() FROM pg_control_system()`,
  );
  await client.query(`ALTER TABLE walpost.outbox DISABLE TRIGGER USER`);
  for (let n = 0; n < options.millions; n++) {
    await client.query(
      `INSERT INTO walpost.outbox (organization_id, event_type, topic, payload, created_at)
       SELECT ${ORGANIZATION}, 'job.completed', 'topic' || n % 10, jsonb_build_object('job_id', n), now() - interval '5 days'
         FROM generate_series(1, 1000000) AS n`,
    );
  }
  await client.query(`ALTER TABLE walpost.outbox ENABLE TRIGGER USER`);
  await client.query(
    `INSERT INTO walpost.parked (slot, epoch, sink, organization_id, history, order_lsn, order_job, place, commit_lsn, ordinal,
                                 event_id, event_type, event_version, topic, payload, headers, size, received_at)
     SELECT 'bench', 1, 'sink' || n % 3, (${ORGANIZATION})::text, 0, '0/1', false, n, '0/1', 0, gen_random_uuid(), 'a', 1, 't', '{}', '{}', 1, now()
       FROM generate_series(1, 1000000) AS n`,
  );
  await client.query(
    `INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, attempts, organization_id, event_id, event_type)
     SELECT 'bench', '1', 1, 'sink' || n % 3, 'failed', 'HTTP 500', 3, (${ORGANIZATION})::text, gen_random_uuid(), 'job.completed'
       FROM generate_series(1, 1000000) AS n`,
  );
  await client.query(
    `INSERT INTO walpost.delivery_log (slot, sink, organization_id, first_event_id, last_event_id, event_ids, events, attempt, outcome, duration_ms, at)
     SELECT 'bench', 'sink1', (${ORGANIZATION})::text, walpost.uuid_v7(), walpost.uuid_v7(), ARRAY[walpost.uuid_v7()::text], 1, 1, 'delivered', 5, now() - n * interval '0.1 s'
       FROM generate_series(1, 1000000) AS n`,
  );
  await client.query('VACUUM ANALYZE');
}

async function settle(): Promise<void> {
  await client.query(
    `INSERT INTO walpost.checkpoints (slot, system_identifier, timeline, snapshot, lsn, settled_at)
     SELECT slot, system_identifier, 1, pg_current_snapshot(), pg_current_wal_insert_lsn(), now() FROM walpost.cursor`,
  );
}

/** The plan of each view, as it was the last time. */
const plans = new Map<string, string>();

function explains(name: string, sql: string): Contestant {
  return {
    name,
    async run() {
      const { rows } = await client.query<{ 'QUERY PLAN': string }>(`EXPLAIN (ANALYZE, TIMING OFF) ${sql}`);
      const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
      const milliseconds = Number(/Execution Time: ([\d.]+) ms/.exec(plan)?.[1]);
      plans.set(name, plan);
      if (milliseconds > ALLOWED_MS) say(plan);
      return { milliseconds };
    },
  };
}

async function views(state: string): Promise<RunRecord[]> {
  const { rows } = await client.query<{ id: string }>('SELECT event_id AS id FROM walpost.outbox LIMIT 1');
  const id = rows[0]?.id ?? '';
  const names = [
    'health',
    'cursor_health',
    'wal_holders',
    'organization_health',
    'alerts',
    'queue_status',
    'error_summary',
  ];
  const contestants = [
    ...names.map((name) => explains(`${name}, ${state}`, `SELECT * FROM walpost.${name}`)),
    explains(`event_timeline, ${state}`, `SELECT * FROM walpost.event_timeline WHERE event_id = '${id}'`),
    explains(`event_status, ${state}`, `SELECT walpost.event_status('${id}')`),
  ];
  return interleave(contestants, options.rounds);
}

function writePlans(): void {
  const parts = [...plans].map(([name, plan]) => `## ${name}\n\n\`\`\`\n${plan}\n\`\`\`\n`);
  const head = `# Plans of the views\n\nWritten by \`npm run bench:views\`, with ${options.millions},000,000 rows in the outbox.\n`;
  writeFileSync(join(ROOT, 'docs/evidence/plans.md'), [head, ...parts].join('\n'));
}

/** Twenty calls of prune, and what another session waited for meanwhile. */
async function prune(): Promise<{ call: Figures; beside: Figures }> {
  const other = newClient({ connectionString: server.url() });
  await other.connect();
  const took: number[] = [];
  const waited: number[] = [];
  let done = false;
  const pruning = (async () => {
    for (let n = 0; n < 20; n++) {
      const begun = performance.now();
      await client.query('SELECT walpost.prune()');
      took.push(performance.now() - begun);
    }
    done = true;
  })();
  while (!done) {
    const begun = performance.now();
    await other.query(
      `SELECT walpost.publish('00000000-0000-4000-8000-000000000001', 'a', '{}', idempotency_key => gen_random_uuid()::text)`,
    );
    waited.push(performance.now() - begun);
  }
  await pruning;
  await other.end();
  const figures = (values: readonly number[]): Figures => ({
    milliseconds: median(values),
    mostMilliseconds: Math.max(...values),
  });
  return { call: figures(took), beside: figures(waited) };
}

say(`filling ${options.millions} million rows on ${server.version}`);
await fill();
const records = await views('nothing proven');
await settle();
await client.query(
  `INSERT INTO walpost.outbox (organization_id, event_type, payload) SELECT ${ORGANIZATION}, 'a', '{}' FROM generate_series(1, 20000) AS n`,
);
records.push(...(await views('all but 20,000 proven')));
const { call, beside } = await prune();
const load = loadavg()[0] ?? 0;
records.push({ round: 0, name: 'prune, 5,000 rows', figures: call, load });
records.push({ round: 0, name: 'publish beside prune', figures: beside, load });
printTable(records);
writePlans();
writeReport({ name: options.save, settings: options, versions: { postgres: server.version }, records, derived: {} });
await client.end();
