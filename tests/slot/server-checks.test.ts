import pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { checkServer, refuseOldServer } from '../../src/slot/server-checks.ts';
import { createTestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { newClient } from '../support/client.ts';

const withUser = (url: string, user: string, password: string): string => {
  const other = new URL(url);
  other.username = user;
  other.password = password;
  return other.href;
};

async function onServer<T>(url: string, use: (client: pg.Client) => Promise<T>): Promise<T> {
  const client = newClient(url);
  await client.connect();
  try {
    return await use(client);
  } finally {
    await client.end();
  }
}

test('a server that is fit tells who it is', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await db.query(`ALTER DATABASE ${db.name} SET wal_sender_timeout = '7s'`);
  const facts = await checkServer({ url: db.url, slot: db.slotName });
  const [row] = await db.query<{ id: string; version: number }>(
    "SELECT system_identifier::text AS id, current_setting('server_version_num')::int AS version FROM pg_control_system()",
  );
  expect(facts).toEqual({
    version: row?.version,
    systemIdentifier: row?.id,
    timeline: 1,
    database: db.name,
    role: 'postgres',
    isPrimary: true,
    place: new URL(db.url).host,
    walSenderTimeoutMs: 7_000,
  });
});

test('a role without REPLICATION gets the statement that helps, with its name', async () => {
  await using db = await createTestDatabase({ migrated: false });
  const role = `Relay ${db.name}`;
  await db.query(`CREATE ROLE "${role}" LOGIN PASSWORD 'secret word'`);
  try {
    const refused = checkServer({ url: withUser(db.url, role, 'secret word') });
    await expect(refused).rejects.toMatchObject({
      code: 'NO_REPLICATION_ROLE',
      remedy: expect.stringContaining(`ALTER ROLE "${role}" REPLICATION;`) as string,
    });
    await db.query(`ALTER ROLE "${role}" REPLICATION`);
    await expect(checkServer({ url: withUser(db.url, role, 'secret word') })).resolves.toMatchObject({ role });
  } finally {
    await db.query(`DROP ROLE "${role}"`);
  }
});

test('a wrong password, a missing database, and a port where nobody listens', async () => {
  await using db = await createTestDatabase({ migrated: false });
  const wrong = checkServer({ url: withUser(db.url, 'postgres', 'not the word') });
  await expect(wrong).rejects.toMatchObject({ code: 'AUTHENTICATION', policy: 'operator' });
  await expect(wrong).rejects.not.toThrow('not the word');
  const missing = new URL(db.url);
  missing.pathname = '/no_such_database';
  await expect(checkServer({ url: missing.href })).rejects.toMatchObject({ code: 'DATABASE_MISSING' });
  const closed = new URL(db.url);
  closed.port = '1';
  const unreachable = checkServer({ url: closed.href });
  await expect(unreachable).rejects.toMatchObject({ code: 'SERVER_UNREACHABLE', policy: 'retry' });
  await expect(unreachable).rejects.toThrow('127.0.0.1:1');
});

test('a server that is too old', () => {
  refuseOldServer(150_000);
  expect(() => refuseOldServer(140_012)).toThrow(
    expect.objectContaining({
      code: 'SERVER_VERSION',
      message: expect.stringContaining('older than PostgreSQL 15. It is 14.') as string,
    }),
  );
});

test('a server that accepts and then says nothing is given up', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await using proxy = await TcpProxy.before(db.url);
  proxy.hold();
  await expect(checkServer({ url: proxy.url(db.url) })).rejects.toMatchObject({ code: 'SERVER_UNREACHABLE' });
});

describe('settings of the server', () => {
  let server: EmbeddedPostgres;
  beforeAll(async () => {
    server = await startServer('17', { settings: { wal_level: 'replica' } });
  });
  afterAll(() => server[Symbol.asyncDispose]());

  async function configure(settings: Record<string, string>): Promise<void> {
    await onServer(server.url(), async (client) => {
      await client.query('ALTER SYSTEM RESET ALL');
      for (const [name, value] of Object.entries(settings)) {
        await client.query(`ALTER SYSTEM SET ${name} = ${pg.escapeLiteral(value)}`);
      }
    });
    await server.restart();
  }

  test('wal_level', async () => {
    const refused = checkServer({ url: server.url() });
    await expect(refused).rejects.toMatchObject({ code: 'WAL_LEVEL', policy: 'operator' });
    await expect(refused).rejects.toThrow('replica');
  });

  test('no walsender is free', async () => {
    await configure({ wal_level: 'logical', max_wal_senders: '0' });
    await expect(checkServer({ url: server.url() })).rejects.toMatchObject({ code: 'TOO_MANY_SLOTS' });
  });

  test('no slot is free, unless ours has its place already', async () => {
    await configure({ wal_level: 'logical', max_replication_slots: '1' });
    const slot = (sql: string): Promise<unknown> =>
      onServer(server.url(), (client) => client.query(sql, ['the_only_one']));
    await slot("SELECT pg_create_logical_replication_slot($1, 'pgoutput')");
    await expect(checkServer({ url: server.url(), slot: 'another' })).rejects.toMatchObject({ code: 'TOO_MANY_SLOTS' });
    await expect(checkServer({ url: server.url(), slot: 'the_only_one' })).resolves.toMatchObject({ isPrimary: true });
    await slot('SELECT pg_drop_replication_slot($1)');
  });

  test.each(['*', 'ANY 1 (a, "Walpost")'])('synchronous_standby_names = %s', async (names) => {
    await configure({ wal_level: 'logical', synchronous_commit: 'local', synchronous_standby_names: names });
    await expect(checkServer({ url: server.url() })).rejects.toMatchObject({ code: 'SYNCHRONOUS_STANDBY' });
  });
});
