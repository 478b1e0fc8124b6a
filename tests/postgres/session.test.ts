/** Sessions are the same whatever the role, the database and the connection string say; on the oldest and a new server. */
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { PINNED, PINNED_IF_KNOWN } from '../../src/postgres/judged-settings.ts';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { beginSession, connectSession, sessionConfig } from '../../src/postgres/session.ts';
import { createSlot } from '../../src/slot/slot-creation.ts';
import { replicationConfig } from '../../src/slot/replication-client.ts';
import { checkServer } from '../../src/slot/server-checks.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createRole } from '../support/database-role.ts';
import { HOSTILE, makeHostile } from '../support/hostile-settings.ts';
import { startServer } from '../support/server.ts';
import { newClient } from '../support/client.ts';

const asked: Readonly<Record<string, string>> = { ...PINNED, ...PINNED_IF_KNOWN };

/** Of those that the server knows, the ones that are not as walpost wants them. */
async function different(client: Pick<pg.ClientBase, 'query'>, but: readonly string[] = []): Promise<object[]> {
  const names = Object.keys(asked).filter((name) => !but.includes(name));
  const list = names.map((name) => `('${name}', '${asked[name] ?? ''}')`).join(', ');
  const { rows } = await client.query<object>(
    `SELECT name, current_setting(name, true) AS found FROM (VALUES ${list}) AS v (name, value)
      WHERE current_setting(name, true) <> value`,
  );
  return rows;
}

test('there is something hostile for each setting that is pinned', () => {
  expect(Object.keys(asked).filter((name) => !(name in HOSTILE))).toEqual([]);
});

describe.each(['15', '16', '17', '18'] as const)('Postgres %s', (version) => {
  let server: EmbeddedPostgres;
  let database: TestDatabase;
  beforeAll(async () => {
    server = await startServer(version);
    database = await createTestDatabase({ migrated: false, server: server.url() });
  }, 120_000);
  afterAll(async () => {
    await database[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  test.each(['ROLE', 'DATABASE'] as const)('settings of the %s change no session', async (owner) => {
    await using login = await createRole(database, { attributes: 'REPLICATION' });
    const name = owner === 'ROLE' ? login.name : database.name;
    const reset = await makeHostile(database, `ALTER ${owner} "${name}"`, login.name);
    try {
      const client = newClient(sessionConfig({ url: login.url, applicationName: 'test' }));
      await connectSession(client);
      expect(await different(client)).toEqual([]);
      await client.end();

      const pool = createPool(login.url, { applicationName: 'test', max: 1 });
      expect(await different(pool, ['statement_timeout', 'idle_in_transaction_session_timeout'])).toEqual([]);
      await pool.end();

      const stream = newClient(replicationConfig({ url: login.url }).config);
      await connectSession(stream);
      expect(await different(stream)).toEqual([]);
      await stream.end();

      expect(await checkServer({ url: login.url })).toMatchObject({ role: login.name });
      const db = await database.client();
      await using slot = await createSlot({
        url: login.url,
        db,
        slot: `${database.slotName}_${owner.toLowerCase()}`,
        plugin: 'pgoutput',
        failover: false,
        snapshot: 'export',
      });
      expect(slot.snapshot).toBeTypeOf('string');
    } finally {
      await reset();
    }
  });

  test('migrate works with all of them', async () => {
    const reset = await makeHostile(database, `ALTER DATABASE "${database.name}"`);
    try {
      expect((await migrate(database.url)).length).toBeGreaterThan(10);
    } finally {
      await reset();
    }
  });
});

test('options and times of the connection string do not win; a role that it names does', async () => {
  await using database = await createTestDatabase({ migrated: false });
  await using login = await createRole(database);
  await database.query(`CREATE ROLE "${login.name}_works" NOLOGIN; GRANT "${login.name}_works" TO "${login.name}"`);
  try {
    const url = new URL(login.url);
    url.searchParams.set(
      'options',
      `-c bytea_output=escape -c search_path=public -c role=${login.name}_works -c work_mem=2MB`,
    );
    for (const name of ['statement_timeout', 'lock_timeout', 'idle_in_transaction_session_timeout', 'query_timeout'])
      url.searchParams.set(name, '1');
    url.searchParams.set('application_name', 'somebody');
    const client = newClient(sessionConfig({ url: url.href, applicationName: 'walpost test' }));
    await connectSession(client);
    expect(await different(client, ['role'])).toEqual([]);
    const { rows } = await client.query(
      `SELECT current_user AS role, current_setting('application_name') AS name, current_setting('work_mem') AS memory`,
    );
    expect(rows).toEqual([{ role: `${login.name}_works`, name: 'walpost test', memory: '2MB' }]);
    await client.end();
  } finally {
    await database.query(`DROP ROLE "${login.name}_works"`);
  }
});

test('what only a superuser may set is refused by its name, and the remedy works', async () => {
  await using database = await createTestDatabase({ migrated: false });
  await using login = await createRole(database, { attributes: 'REPLICATION' });
  await database.query(`ALTER ROLE "${login.name}" SET session_replication_role = 'replica'`);
  const refusal = await checkServer({ url: login.url }).catch((error: unknown) => error);
  expect(refusal).toMatchObject({ code: 'SESSION_SETTING', policy: 'operator' });
  expect((refusal as Error).message).toContain('session_replication_role is "replica"');
  const pool = createPool(login.url, { applicationName: 'test', max: 1 });
  await expect(pool.query('SELECT')).rejects.toMatchObject({ code: 'SESSION_SETTING' });
  await database.query((refusal as { remedy: string }).remedy.split(': ')[1]?.split(';')[0] ?? '');
  await expect(pool.query('SELECT')).resolves.toMatchObject({ rowCount: 1 });
  await pool.end();
  await expect(checkServer({ url: login.url })).resolves.toMatchObject({ role: login.name });
});

test('synchronous_commit: off is not accepted, other levels are the choice of the operator', async () => {
  await using database = await createTestDatabase({ migrated: false });
  for (const [given, got] of [
    ['off', 'on'],
    ['local', 'local'],
    ['remote_apply', 'remote_apply'],
  ]) {
    await database.query(`ALTER DATABASE "${database.name}" SET synchronous_commit = ${given}`);
    const pool = createPool(database.url, { applicationName: 'test', max: 1 });
    expect((await pool.query('SHOW synchronous_commit')).rows).toEqual([{ synchronous_commit: got }]);
    await pool.end();
  }
});

test('a session that did not take the settings is refused', async () => {
  await using database = await createTestDatabase({ migrated: false });
  const client = await database.client();
  await expect(beginSession(client)).rejects.toMatchObject({ code: 'POOLER' });
});
