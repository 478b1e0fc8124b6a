/**
 * A database of its own for each test, on the one server of the run, copied from a template in some 50 ms.
 *
 * Disposing it is an assertion: a connection that the code under test left open, or a slot that something still streams
 * from, fails the test. The database goes away in any case.
 */
import { randomBytes } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { inject } from 'vitest';
import { moveInstallation } from '../../src/postgres/schema/installation.ts';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { newClient } from './client.ts';

export interface TestDatabase extends AsyncDisposable {
  readonly name: string;
  /** Connection string of the superuser. */
  readonly url: string;
  /** Slots are named per cluster: use this name, or names that start with it. */
  readonly slotName: string;
  /** A connection that disposing the database closes. */
  client(): Promise<pg.Client>;
  query<R extends pg.QueryResultRow = pg.QueryResultRow>(text: string, values?: unknown[]): Promise<R[]>;
}

export interface TestDatabaseOptions {
  /** false: an empty database, without the schema walpost. */
  readonly migrated?: boolean;
  /** Of the database, in the place of UTF8. */
  readonly encoding?: string;
  /** A server of the test's own; by default the one of the run. */
  readonly server?: string;
}

const TEMPLATE = 'walpost_template';
const LEAK_DEADLINE_MS = 3_000;

export function databaseUrl(server: string, name: string): string {
  const url = new URL(server);
  url.pathname = `/${name}`;
  return url.href;
}

export async function createTestDatabase(options: TestDatabaseOptions = {}): Promise<TestDatabase> {
  const server = options.server ?? inject('postgresUrl');
  const name = `t_${process.pid}_${randomBytes(5).toString('hex')}`;
  await withClient(server, async (admin) => {
    if (options.encoding !== undefined) {
      await admin.query(`CREATE DATABASE ${name} TEMPLATE template0 LOCALE 'C' ENCODING '${options.encoding}'`);
      return void (await migrate(databaseUrl(server, name)));
    }
    if (options.migrated === false) return void (await admin.query(`CREATE DATABASE ${name}`));
    await ensureTemplate(admin, server);
    await admin.query(`CREATE DATABASE ${name} TEMPLATE ${TEMPLATE}`);
  });
  return openDatabase(server, name, options.migrated !== false);
}

async function openDatabase(server: string, name: string, isCopy: boolean): Promise<TestDatabase> {
  const url = databaseUrl(server, name);
  const own: pg.Client[] = [];
  const client = async (): Promise<pg.Client> => {
    const connection = newClient({ connectionString: url, application_name: 'walpost test' });
    await connection.connect();
    own.push(connection);
    return connection;
  };
  let first: Promise<pg.Client> | undefined;
  // A test is not about a copied database unless it says so.
  if (isCopy) await moveInstallation(await (first = client()), 'migrate');
  return {
    name,
    url,
    slotName: `s_${name}`,
    client,
    async query<R extends pg.QueryResultRow>(text: string, values?: unknown[]) {
      first ??= client();
      return (await (await first).query<R>(text, values)).rows;
    },
    async [Symbol.asyncDispose]() {
      await Promise.all(own.map((connection) => connection.end().catch(() => undefined)));
      await withClient(server, (admin) => discard(admin, name));
    },
  };
}

async function discard(admin: pg.Client, name: string): Promise<void> {
  const leaks = await leaksOf(admin, name);
  await admin.query('SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1', [name]);
  await admin.query('SELECT pg_drop_replication_slot(slot_name) FROM pg_replication_slots WHERE database = $1', [name]);
  await admin.query(`DROP DATABASE ${name} WITH (FORCE)`);
  if (leaks.length > 0) throw new Error(`The test leaked on database ${name}: ${leaks.join('; ')}`);
}

/** A backend outlives its closed socket by a moment; what is still there after the deadline was left open. */
async function leaksOf(admin: pg.Client, name: string): Promise<string[]> {
  const deadline = performance.now() + LEAK_DEADLINE_MS;
  for (;;) {
    const { rows } = await admin.query<{ leak: string }>(
      `SELECT format('%s %L, %s, last query: %s', backend_type, application_name, state, left(query, 80)) AS leak
         FROM pg_stat_activity
        WHERE datname = $1 AND backend_type IN ('client backend', 'walsender')
        UNION ALL
       SELECT format('slot %s is active', slot_name) FROM pg_replication_slots WHERE database = $1 AND active`,
      [name],
    );
    if (rows.length === 0 || performance.now() > deadline) return rows.map((row) => row.leak);
    await delay(10);
  }
}

/** Migrates one database for each server, once, whichever worker comes first. */
async function ensureTemplate(admin: pg.Client, server: string): Promise<void> {
  if (await hasTemplate(admin)) return;
  await admin.query(`SELECT pg_advisory_lock(hashtext('${TEMPLATE}'))`);
  try {
    if (await hasTemplate(admin)) return;
    const draft = `${TEMPLATE}_draft`;
    await admin.query(`DROP DATABASE IF EXISTS ${draft} WITH (FORCE)`);
    await admin.query(`CREATE DATABASE ${draft}`);
    await migrate(databaseUrl(server, draft));
    await admin.query(`ALTER DATABASE ${draft} ALLOW_CONNECTIONS false`);
    await admin.query('SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1', [draft]);
    await admin.query(`ALTER DATABASE ${draft} RENAME TO ${TEMPLATE}`);
  } finally {
    await admin.query(`SELECT pg_advisory_unlock(hashtext('${TEMPLATE}'))`);
  }
}

async function hasTemplate(admin: pg.Client): Promise<boolean> {
  const { rowCount } = await admin.query('SELECT 1 FROM pg_database WHERE datname = $1', [TEMPLATE]);
  return rowCount === 1;
}

async function withClient<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = newClient({ connectionString: url, application_name: 'walpost test admin' });
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}
