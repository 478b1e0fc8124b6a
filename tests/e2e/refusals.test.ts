import { once } from 'node:events';
import type pg from 'pg';
import { describe, expect, inject, test, vi } from 'vitest';
import { ConfigFile } from '../support/config-file.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { pgbouncerMissing, startPgbouncer } from '../support/pgbouncer.ts';
import { startServer } from '../support/server.ts';
import { walpost } from '../support/walpost-cli.ts';
import { EventReceiver } from './event-receiver.ts';
import { configOf, RunningWalpost } from './running-walpost.ts';
import { newClient } from '../support/client.ts';

vi.setConfig({ testTimeout: 90_000 });

const log = { type: 'stdout' };
const noPgbouncer = await pgbouncerMissing();

interface Refusal {
  readonly code: number | string | null;
  /** The last line of the log. */
  readonly last: { readonly err: { readonly code: string; readonly message: string }; readonly remedy: string };
}

/** `walpost run` until it gives up. */
async function refusal(database: TestDatabase, change: { url?: string; config?: Record<string, object> } = {}) {
  using file = new ConfigFile(JSON.stringify(configOf({ database, sinks: { log }, ...change })));
  const { code, stderr } = await walpost(['run', '--config', file.path]);
  expect(stderr).not.toMatch(/ at .*\.ts:\d+/); // no stack for what a person can correct
  return { code, last: JSON.parse(stderr.trim().split('\n').at(-1) ?? '') as Refusal['last'] } satisfies Refusal;
}

/** Exit code 1, one sentence that names the case, and what to do. */
function expectRefusal({ code, last }: Refusal, name: string, remedy: RegExp): void {
  expect({ code, name: last.err.code }).toEqual({ code: 1, name });
  expect(last.err.message).toMatch(/^[A-Z][^\n]{10,600}\.$/);
  expect(last.remedy).toMatch(remedy);
}

describe('a server that is not fit: exit code 1, one sentence, and what to do', () => {
  test('wal_level', async () => {
    await using server = await startServer('17', { settings: { wal_level: 'replica' } });
    await using database = await createTestDatabase({ server: server.url() });
    expectRefusal(await refusal(database), 'WAL_LEVEL', /^ALTER SYSTEM SET wal_level = 'logical'; then restart/);
  });

  test('it would wait for walpost at each commit', async () => {
    await using server = await startServer();
    await using database = await createTestDatabase({ server: server.url() });
    await database.query(`ALTER SYSTEM SET synchronous_standby_names = '*'`);
    await database.query(`ALTER SYSTEM SET synchronous_commit = 'local'`);
    await database.query('SELECT pg_reload_conf()');
    expectRefusal(await refusal(database), 'SYNCHRONOUS_STANDBY', /synchronous_standby_names/);
  });

  test('a role that may not replicate', async () => {
    await using database = await createTestDatabase();
    const role = `${database.name}_plain`;
    await database.query(`CREATE ROLE ${role} LOGIN PASSWORD 'plain'`);
    const url = new URL(database.url);
    [url.username, url.password] = [role, 'plain'];
    expectRefusal(await refusal(database, { url: url.href }), 'NO_REPLICATION_ROLE', /ALTER ROLE .*REPLICATION/);
    await database.query(`DROP ROLE ${role}`);
  });

  test.skipIf(noPgbouncer !== undefined)('a pooler in between', async () => {
    await using database = await createTestDatabase();
    await using pooler = await startPgbouncer(inject('postgresUrl'), { pool_mode: 'transaction' });
    const url = new URL(database.url);
    url.port = new URL(pooler.url).port;
    expectRefusal(await refusal(database, { url: url.href }), 'POOLER', /direct host and port/);
  });
});

describe('a slot or a schema that is not fit', () => {
  test('the slot is held by a process of another program', async () => {
    await using database = await createTestDatabase();
    await database.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [database.slotName]);
    const holder = newClient({
      connectionString: database.url,
      replication: 'database',
      application_name: 'somebody else',
    } as pg.ClientConfig);
    await holder.connect();
    const started = once(holder.connection, 'replicationStart');
    const options = `(proto_version '1', publication_names 'walpost')`;
    holder.query(`START_REPLICATION SLOT ${database.slotName} LOGICAL 0/0 ${options}`).catch(() => undefined);
    await started;
    try {
      const refused = await refusal(database);
      expectRefusal(refused, 'SLOT_IN_USE', /^Stop that process, or .* source\.slot/);
      expect(refused.last.err.message).toContain('somebody else');
    } finally {
      holder.connection.stream.destroy();
    }
  });

  test('the slot is one of another database', async () => {
    await using database = await createTestDatabase();
    await using other = await createTestDatabase();
    await other.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [other.slotName]);
    const config = { source: { slot: other.slotName } };
    expectRefusal(await refusal(database, { config }), 'SLOT_OTHER_DATABASE', /another name in source\.slot/);
  });

  test('the migrations are missing', async () => {
    await using database = await createTestDatabase({ migrated: false });
    expectRefusal(await refusal(database), 'MIGRATION_MISSING', /walpost migrate/);
  });

  test('the publication is missing, and its statement is given', async () => {
    await using database = await createTestDatabase();
    await database.query('DROP PUBLICATION walpost');
    const refused = await refusal(database);
    expectRefusal(refused, 'PUBLICATION_MISSING', /CREATE PUBLICATION "walpost" FOR TABLE "walpost"\."outbox"/);
  });
});

test('a configuration with problems: exit code 2, all of them at once, and no connection is made', async () => {
  using file = new ConfigFile(`database: { url: '\${NO_SUCH_VARIABLE}' }
batching: { window: 0, max_events: many }
sinks: { log: { type: stdout } }
routes: [{ to: [log, elsewhere] }]
http: { port: 0 }
colour: red
`);
  const { code, stdout, stderr } = await walpost(['run', '--config', file.path]);
  expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
  for (const problem of [
    /:1:\d+ .*NO_SUCH_VARIABLE/,
    /:2:\d+ batching\.window: .*0/,
    /:2:\d+ batching\.max_events: .*many/,
    /:4:\d+ routes.*elsewhere/,
    /:6:\d+ .*colour/,
  ]) {
    expect(stderr).toMatch(problem);
  }
});

test('a row without an organization is stored for a person, and the stream goes on', async () => {
  await using database = await createTestDatabase();
  await database.query(`
    CREATE TABLE events (id bigint PRIMARY KEY, org text, kind text, body jsonb);
    CREATE PUBLICATION mapped FOR TABLE events WITH (publish = 'insert')`);
  const columns = { event_id: 'id', organization_id: 'org', event_type: 'kind', payload: 'body' };
  const absent = { event_version: null, topic: null, entity_type: null, entity_id: null, target: null };
  const others = { idempotency_key: null, headers: null, created_at: null };
  const source = { table: 'public.events', publication: 'mapped', columns: { ...columns, ...absent, ...others } };
  const arrived: unknown[] = [];
  await using receiver = await EventReceiver.start(({ events }) => {
    for (const { event_id } of events) arrived.push(event_id);
  });
  await using run = await RunningWalpost.start({ database, sinks: { hook: receiver.sink() }, config: { source } });
  await database.query(
    `INSERT INTO events VALUES (1, 'a', 'k', '{}'), (2, NULL, 'k', '{"n": 1}'), (3, 'a', 'k', '[]')`,
  );
  await receiver.received(2);
  await run.confirms(receiver.lastCommit);
  const letters = await database.query(
    'SELECT event_id, reason, detail, sink, organization_id FROM walpost.dead_letters',
  );
  expect(arrived).toEqual(['1', '3']);
  expect(letters).toEqual([
    {
      event_id: '2',
      reason: 'poison',
      detail: expect.stringMatching(/org.* is null/),
      sink: null,
      organization_id: null,
    },
  ]);
  expect(await run.stop()).toMatchObject({ code: 0 });
});
