/**
 * What writing an event costs a writer, measured with pgbench on a Postgres of its own:
 * publish against a plain INSERT, and capture on an update of 100,000 rows against a minimal trigger that was written by hand.
 * `npm run bench:publish [-- --rounds 5]`. The kinds take turns, so that what else the machine does meets all of them.
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { startServer } from '../support/server.ts';
import { benchOptions } from './support/options.ts';
import { type Contestant, interleave, printTable, ratio, writeReport } from './support/report.ts';
import { newClient } from '../support/client.ts';

const PGBENCH =
  ['/usr/lib/postgresql/15/bin/pgbench', '/usr/bin/pgbench'].find((path) => existsSync(path)) ?? 'pgbench';
const ORGANIZATION = '11111111-1111-4111-8111-111111111111';
const PAYLOAD = JSON.stringify({ job_id: 42, status: 'completed', title: 'x'.repeat(200) });
const ROWS = 100_000;
const SECONDS = 4;

const options = benchOptions({ rounds: 5, save: 'publish' });
const run = promisify(execFile);

const SCRIPTS: Readonly<Record<string, string>> = {
  'plain INSERT': `INSERT INTO walpost.outbox (organization_id, event_type, payload, topic, entity_type, entity_id)
    VALUES ('${ORGANIZATION}', 'job.completed', '${PAYLOAD}', 'cataloging', 'job', '42');`,
  publish: `SELECT walpost.publish('${ORGANIZATION}', 'job.completed', '${PAYLOAD}', 'cataloging', 'job', '42');`,
  'publish with a key': `SELECT walpost.publish('${ORGANIZATION}', 'job.completed', '${PAYLOAD}', 'cataloging', 'job', '42',
    idempotency_key => gen_random_uuid()::text);`,
};

async function pgbench(sql: string, seconds: number): Promise<number> {
  const file = join(directory, 'script.sql');
  await writeFile(file, sql.replaceAll('\n', ' '));
  const flags = ['-n', '-M', 'prepared', '-c', '2', '-T', String(seconds), '-f', file];
  const { stdout } = await run(PGBENCH, [...flags, server.url()]);
  return Number(/latency average = ([\d.]+) ms/.exec(stdout)?.[1]);
}

function perCall([name, sql]: [string, string]): Contestant {
  return { name, run: async () => ({ milliseconds: await pgbench(sql, SECONDS) }) };
}

const BY_HAND = `
  CREATE FUNCTION app.by_hand() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN
      INSERT INTO walpost.outbox (organization_id, event_type, entity_type, entity_id, payload)
      SELECT organization_id, 'job.updated', 'job', id::text, jsonb_build_object('id', id, 'status', status) FROM new_rows;
      RETURN NULL;
    END $$;
  CREATE TRIGGER by_hand AFTER UPDATE ON app.jobs REFERENCING NEW TABLE AS new_rows
    FOR EACH STATEMENT EXECUTE FUNCTION app.by_hand()`;

const TRIGGERS: Readonly<Record<string, string>> = {
  'no trigger': 'SELECT',
  'trigger by hand': BY_HAND,
  capture: `SELECT walpost.capture('app.jobs', 'job', columns => '{status}')`,
  'capture, with old': `SELECT walpost.capture('app.jobs', 'job', columns => '{status}', condition => 'new.status IS DISTINCT FROM old.status')`,
};

function perUpdate([name, sql]: [string, string]): Contestant {
  return {
    name,
    async run(round) {
      await client.query('TRUNCATE walpost.outbox');
      await client.query(sql);
      await client.query('CHECKPOINT');
      const begun = performance.now();
      await client.query(`UPDATE app.jobs SET status = 'state ${round} ${name}'`);
      const milliseconds = performance.now() - begun;
      await client.query(
        `SELECT walpost.release('app.jobs'); DROP TRIGGER IF EXISTS by_hand ON app.jobs; DROP FUNCTION IF EXISTS app.by_hand`,
      );
      await client.query('VACUUM app.jobs');
      return { milliseconds };
    },
  };
}

const directory = await mkdtemp(join(tmpdir(), 'walpost-bench-'));
const settings = { synchronous_commit: 'off', max_wal_size: '4GB' }; // waiting for the disk would hide what is compared
await using server = await startServer('17', { settings });
await migrate(server.url());
const client = newClient({ connectionString: server.url() });
await client.connect();
await client.query(
  `CREATE SCHEMA app; CREATE TABLE app.jobs (id bigint PRIMARY KEY, organization_id uuid NOT NULL, status text) WITH (fillfactor = 50)`,
);
await client.query(`INSERT INTO app.jobs SELECT n, '${ORGANIZATION}', 'new' FROM generate_series(1, ${ROWS}) AS n`);
const calls = Object.entries(SCRIPTS).map(perCall);
const updates = Object.entries(TRIGGERS).map(perUpdate);
for (const sql of Object.values(SCRIPTS)) await pgbench(sql, 1); // warms up
for (const update of updates) await update.run(-1);
const records = await interleave(calls, options.rounds);
await client.query('TRUNCATE walpost.outbox, walpost.idempotency_keys');
records.push(...(await interleave(updates, options.rounds)));
printTable(records);
const pairs = [
  ['publish', 'plain INSERT'],
  ['publish with a key', 'plain INSERT'],
  ['capture', 'trigger by hand'],
  ['capture, with old', 'trigger by hand'],
] as const;
const derived = Object.fromEntries(
  pairs.map(([name, base]) => [`${name} / ${base}`, ratio(records, 'milliseconds', [name, base])]),
);
console.log(derived);
writeReport({
  name: options.save,
  settings: { ...options, rows: ROWS },
  versions: { postgres: server.version },
  records,
  derived,
});
await client.end();
await rm(directory, { recursive: true });
