/**
 * What writing an event costs a writer, measured with pgbench on a Postgres of its own:
 * publish against a plain INSERT, and capture on an update of 100,000 rows against a minimal trigger that was written by hand.
 * The kinds take turns, so that what else the machine does meets all of them; the table shows medians.
 *
 *   node --import tsx tests/bench/publish.ts [rounds]
 */
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import pg from 'pg';
import { migrate } from '../../src/postgres/migrate.ts';
import { startServer } from '../support/server.ts';

const PGBENCH =
  ['/usr/lib/postgresql/15/bin/pgbench', '/usr/bin/pgbench'].find((path) => existsSync(path)) ?? 'pgbench';
const ORGANIZATION = '11111111-1111-4111-8111-111111111111';
const PAYLOAD = JSON.stringify({ job_id: 42, status: 'completed', title: 'x'.repeat(200) });
const ROWS = 100_000;
const SECONDS = 4;

const rounds = Number(process.argv[2] ?? 5);
const run = promisify(execFile);

const SCRIPTS: Readonly<Record<string, string>> = {
  'plain INSERT': `INSERT INTO walpost.outbox (organization_id, event_type, payload, topic, entity_type, entity_id)
    VALUES ('${ORGANIZATION}', 'job.completed', '${PAYLOAD}', 'cataloging', 'job', '42');`,
  publish: `SELECT walpost.publish('${ORGANIZATION}', 'job.completed', '${PAYLOAD}', 'cataloging', 'job', '42');`,
  'publish with a key': `SELECT walpost.publish('${ORGANIZATION}', 'job.completed', '${PAYLOAD}', 'cataloging', 'job', '42',
    idempotency_key => gen_random_uuid()::text);`,
};

const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1] ?? NaN;

async function perCall(url: string, directory: string): Promise<Map<string, number[]>> {
  const measured = new Map<string, number[]>(Object.keys(SCRIPTS).map((name) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const [name, sql] of Object.entries(SCRIPTS)) {
      const file = join(directory, `${name.replaceAll(' ', '-')}.sql`);
      await writeFile(file, sql.replaceAll('\n', ' '));
      const seconds = round === 0 ? 1 : SECONDS; // the first round warms up
      const { stdout } = await run(PGBENCH, [
        '-n',
        '-M',
        'prepared',
        '-c',
        '2',
        '-T',
        String(seconds),
        '-f',
        file,
        url,
      ]);
      const latency = Number(/latency average = ([\d.]+) ms/.exec(stdout)?.[1]);
      if (round > 0) measured.get(name)?.push(latency);
    }
  }
  return measured;
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
  'capture, with old': `SELECT walpost.capture('app.jobs', 'job', columns => '{status}', "when" => 'new.status IS DISTINCT FROM old.status')`,
};

async function perUpdate(client: pg.Client): Promise<Map<string, number[]>> {
  await client.query(
    `CREATE SCHEMA app; CREATE TABLE app.jobs (id bigint PRIMARY KEY, organization_id uuid NOT NULL, status text) WITH (fillfactor = 50)`,
  );
  await client.query(`INSERT INTO app.jobs SELECT n, '${ORGANIZATION}', 'new' FROM generate_series(1, ${ROWS}) AS n`);
  const measured = new Map<string, number[]>(Object.keys(TRIGGERS).map((name) => [name, []]));
  for (let round = 0; round <= rounds; round++) {
    for (const [name, sql] of Object.entries(TRIGGERS)) {
      await client.query('TRUNCATE walpost.outbox');
      await client.query(sql);
      await client.query('CHECKPOINT');
      const begun = performance.now();
      await client.query(`UPDATE app.jobs SET status = 'state ${round} ${name}'`);
      const took = performance.now() - begun;
      if (round > 0) measured.get(name)?.push(took);
      await client.query(
        `SELECT walpost.release('app.jobs'); DROP TRIGGER IF EXISTS by_hand ON app.jobs; DROP FUNCTION IF EXISTS app.by_hand`,
      );
      await client.query('VACUUM app.jobs');
    }
  }
  return measured;
}

function report(title: string, measured: Map<string, number[]>, base: string): void {
  const against = median(measured.get(base) ?? []);
  process.stdout.write(`\n${title} (median of ${rounds}, least, most)\n`);
  for (const [name, values] of measured) {
    const [least, most] = [Math.min(...values), Math.max(...values)];
    const text = [median(values), least, most].map((value) => value.toFixed(3).padStart(10)).join(' ');
    process.stdout.write(`  ${name.padEnd(20)}${text} ms  ${(median(values) / against).toFixed(2)} x ${base}\n`);
  }
}

const directory = await mkdtemp(join(tmpdir(), 'walpost-bench-'));
await using server = await startServer('17', { settings: { synchronous_commit: 'off', max_wal_size: '4GB' } });
await migrate(server.url());
const client = new pg.Client({ connectionString: server.url() });
await client.connect();
process.stdout.write(`${server.version}, synchronous_commit = off, so that waiting for the disk hides nothing\n`);
report('One event', await perCall(server.url(), directory), 'plain INSERT');
await client.query('TRUNCATE walpost.outbox, walpost.idempotency_keys');
report(`An update of ${ROWS} rows`, await perUpdate(client), 'trigger by hand');
await client.end();
await rm(directory, { recursive: true });
