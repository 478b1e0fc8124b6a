import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { readMigrations } from '../../src/postgres/schema/migration-files.ts';
import { type DatabaseRole, createRole } from '../support/database-role.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { settleAll } from '../support/settled-checkpoint.ts';

const [mine, other] = [randomUUID(), randomUUID()];
const TABLES = [
  'outbox',
  'idempotency_keys',
  'command_results',
  'parked',
  'dead_letters',
  'delivery_log',
  'pruned_events',
] as const;

let database: TestDatabase;
const roles: DatabaseRole[] = [];
beforeEach(async () => {
  database = await createTestDatabase();
  await settleAll(database);
  for (const id of [mine, other]) {
    await database.query(`SELECT walpost.publish($1, 'a', '{}', idempotency_key => 'k')`, [id]);
    await database.query(
      `INSERT INTO walpost.command_results (organization_id, idempotency_key, command, arguments_hash) VALUES ($1, 'k', 'f', '')`,
      [id],
    );
    await database.query(
      `INSERT INTO walpost.parked (slot, epoch, sink, organization_id, history, order_lsn, order_job, place, commit_lsn, ordinal,
                                   event_id, event_type, event_version, topic, payload, headers, size, received_at)
       VALUES ('test', 1, 's', $1, 0, '0/1', false, 0, '0/1', 0, gen_random_uuid(), 'a', 1, 't', '{}', '{}', 1, now())`,
      [id],
    );
    await database.query(
      `INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, attempts, organization_id, event_type)
       VALUES ('test', '1', 1, 's', 'failed', 'no', 3, $1, 'a')`,
      [id],
    );
    await database.query(
      `INSERT INTO walpost.pruned_events (event_id, organization_id, event_type, created_at, pruned_at)
       VALUES (gen_random_uuid(), $1, 'a', now(), now())`,
      [id],
    );
    await database.query(
      `INSERT INTO walpost.delivery_log (slot, sink, organization_id, first_event_id, last_event_id, event_ids, events, attempt,
                                         outcome, duration_ms, at)
       VALUES ('test', 's', $1, '1', '1', '{1}', 1, 1, 'delivered', 1, now())`,
      [id],
    );
  }
});
afterEach(async () => {
  for (const role of roles.splice(0)) await role[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

async function member(...groups: string[]): Promise<pg.Client> {
  const role = await createRole(database, { in: groups });
  roles.push(role);
  return role.client();
}

const workFor = (client: pg.Client, id: string) =>
  client.query(`SELECT set_config('app.current_org_id', $1, false)`, [id]);

async function organizations(client: pg.Client, table: string): Promise<string[]> {
  const { rows } = await client.query<{ id: string }>(
    `SELECT organization_id::text AS id FROM walpost.${table} ORDER BY organization_id`,
  );
  return rows.map(({ id }) => id);
}

const both = [mine, other].toSorted();

test('security is on, and not forced, on every table with rows of organizations', async () => {
  const open = await database.query(`
    SELECT c.relname FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attname = 'organization_id'
     WHERE c.relnamespace IN ('walpost'::regnamespace, 'walpost_internal'::regnamespace) AND c.relkind IN ('r', 'p') AND NOT (relrowsecurity AND NOT relforcerowsecurity)`);
  expect(open).toEqual([]);
});

test('nothing is granted to PUBLIC', async () => {
  const granted = await database.query(`
    SELECT p.oid::regprocedure::text AS what FROM pg_proc p, aclexplode(coalesce(p.proacl, acldefault('f', p.proowner))) a
     WHERE p.pronamespace IN ('walpost'::regnamespace, 'walpost_internal'::regnamespace) AND a.grantee = 0
     UNION ALL
    SELECT c.oid::regclass::text FROM pg_class c, aclexplode(c.relacl) a WHERE c.relnamespace IN ('walpost'::regnamespace, 'walpost_internal'::regnamespace) AND a.grantee = 0
     UNION ALL
    SELECT nspname FROM pg_namespace, aclexplode(nspacl) a WHERE nspname IN ('walpost', 'walpost_internal') AND a.grantee = 0`);
  expect(granted).toEqual([]);
});

test('what a later migration adds is taken from PUBLIC and shown to the relay', async () => {
  const files = await readMigrations();
  const sql = `CREATE TABLE walpost.later (a int); CREATE FUNCTION walpost.later() RETURNS int LANGUAGE sql RETURN 1`;
  const added = { number: 998, name: '998_later.sql', checksum: 'x', breaking: false, sql };
  await migrate(database.url, { migrations: [...files, added] });
  const relay = await member('walpost_relay');
  await relay.query('SELECT FROM walpost.later');
  await expect(relay.query('SELECT walpost.later()')).rejects.toMatchObject({ code: '42501' });
  expect(await organizations(relay, 'outbox')).toEqual(both);
});

test('functions that run with the rights of the owner have a search_path of their own', async () => {
  const rows = await database.query<{ name: string; config: string }>(`
    SELECT proname AS name, proconfig::text AS config FROM pg_proc
     WHERE pronamespace IN ('walpost'::regnamespace, 'walpost_internal'::regnamespace) AND prosecdef ORDER BY 1`);
  expect(rows.map(({ name }) => name)).toContain('prune');
  for (const { config } of rows) expect(config).toContain('search_path=pg_catalog, pg_temp');
});

describe('walpost_reader', () => {
  test.each(['outbox', 'parked', 'dead_letters', 'delivery_log', 'pruned_events'])(
    '%s: its organization, and nothing without one',
    async (table) => {
      const client = await member('walpost_reader');
      expect(await organizations(client, table)).toEqual([]);
      await workFor(client, '');
      expect(await organizations(client, table)).toEqual([]);
      await workFor(client, mine);
      expect(await organizations(client, table)).toEqual([mine]);
      await workFor(client, other.toUpperCase());
      expect(await organizations(client, table)).toEqual([other]);
      await expect(client.query(`DELETE FROM walpost.${table}`)).rejects.toMatchObject({ code: '42501' });
    },
  );

  test('sees its own organization in the views', async () => {
    const client = await member('walpost_reader');
    await workFor(client, mine);
    const { rows } = await client.query(
      'SELECT organization_id, pending, parked, dead_letters FROM walpost.organization_health',
    );
    expect(rows).toEqual([{ organization_id: mine, pending: '1', parked: '1', dead_letters: '1' }]);
    expect((await client.query('SELECT DISTINCT organization_id FROM walpost.event_timeline')).rows).toEqual([
      { organization_id: mine },
    ]);
    const { rows: pruned } = await client.query(
      `SELECT count(*)::int AS n FROM walpost.event_timeline
        WHERE step = 'created' AND event_id NOT IN (SELECT event_id FROM walpost.outbox)`,
    );
    expect(pruned).toEqual([{ n: 1 }]);
    const { rows: errors } = await client.query('SELECT events FROM walpost.error_summary');
    expect(errors).toEqual([{ events: '1' }]);
    const { rows: queues } = await client.query('SELECT state, events FROM walpost.queue_status ORDER BY state');
    expect(queues).toEqual(['dead', 'parked', 'pending'].map((state) => ({ state, events: '1' })));
    const [event] = await database.query<{ id: string }>(
      'SELECT event_id AS id FROM walpost.outbox WHERE organization_id = $1',
      [other],
    );
    const status = (id = event?.id) => client.query<{ s: string | null }>('SELECT walpost.event_status($1) AS s', [id]);
    expect((await status()).rows).toEqual([{ s: null }]);
    await workFor(client, other);
    expect((await status()).rows).toEqual([{ s: 'pending' }]);
  });
});

describe('walpost_publisher', () => {
  test('publishes for its organization, and for no other', async () => {
    const client = await member('walpost_publisher');
    const publish = (id: string, key: string | null = null) =>
      client.query(`SELECT walpost.publish($1, 'a', '{}', idempotency_key => $2)`, [id, key]);
    const many = (id: string) =>
      client.query('SELECT * FROM walpost.publish_many($1)', [
        JSON.stringify([{ organization_id: id, event_type: 'a', payload: {}, idempotency_key: 'm' }]),
      ]);
    await expect(publish(mine)).rejects.toMatchObject({ code: '42501' });
    await workFor(client, mine);
    await publish(mine);
    await publish(mine, 'k3');
    await many(mine);
    for (const key of [null, 'k', 'k3']) {
      await expect(publish(other, key)).rejects.toMatchObject({ code: '42501' });
    }
    await expect(many(other)).rejects.toMatchObject({ code: '42501' });
    expect(await database.query('SELECT count(*)::int AS n FROM walpost.outbox')).toEqual([{ n: 5 }]);
  });

  test('keys and results of another organization are not seen, and cannot be taken', async () => {
    const client = await member('walpost_publisher');
    await workFor(client, mine);
    for (const table of ['idempotency_keys', 'command_results']) {
      expect(await organizations(client, table)).toEqual([mine]);
      await expect(client.query(`DELETE FROM walpost.${table}`)).rejects.toMatchObject({ code: '42501' });
    }
    const changed = await client.query(`UPDATE walpost.command_results SET result = '1' WHERE organization_id = $1`, [
      other,
    ]);
    expect(changed.rowCount).toBe(0);
    await expect(
      client.query(
        `INSERT INTO walpost.idempotency_keys (organization_id, idempotency_key, event_id) VALUES ($1, 'x', $1)`,
        [other],
      ),
    ).rejects.toMatchObject({ code: '42501' });
  });

  test('runs a command once', async () => {
    await database.query(
      `CREATE FUNCTION public.command(jsonb) RETURNS jsonb LANGUAGE sql RETURN $1; GRANT EXECUTE ON FUNCTION public.command TO PUBLIC`,
    );
    const client = await member('walpost_publisher');
    const once = (id: string) => client.query(`SELECT walpost.once($1, 'c', 'public.command(jsonb)', '7')`, [id]);
    await workFor(client, mine);
    for (const _ of [1, 2]) expect((await once(mine)).rows).toEqual([{ once: 7 }]);
    await expect(once(other)).rejects.toMatchObject({ code: '42501' });
  });

  test.each(['created_xid', 'seq', 'created_at'])('cannot set %s', async (column) => {
    const client = await member('walpost_publisher');
    await workFor(client, mine);
    const insert = client.query(
      `INSERT INTO walpost.outbox (organization_id, event_type, payload, ${column}) VALUES ($1, 'a', '{}', DEFAULT)`,
      [mine],
    );
    await expect(insert).rejects.toMatchObject({ code: '42501' });
  });

  test('reads neither the events of others in the outbox, nor the stores, nor the cursor', async () => {
    const client = await member('walpost_publisher');
    await workFor(client, mine);
    expect(await organizations(client, 'outbox')).toEqual([]);
    for (const table of ['parked', 'dead_letters', 'delivery_log', 'cursor', 'jobs', 'checkpoints', 'health']) {
      await expect(client.query(`SELECT FROM walpost.${table}`)).rejects.toMatchObject({ code: '42501' });
    }
    for (const call of [
      'walpost.prune()',
      'walpost.apply_grants()',
      `walpost.capture('walpost.outbox', 'x')`,
      `walpost_internal.isolate('walpost.outbox')`,
    ]) {
      await expect(client.query(`SELECT ${call}`)).rejects.toMatchObject({ code: '42501' });
    }
  });
});

describe('walpost_relay and walpost_operator', () => {
  test.each(['walpost_relay', 'walpost_operator'])(
    '%s sees every organization, whatever the setting',
    async (group) => {
      const client = await member(group);
      for (const id of ['', mine]) {
        await workFor(client, id);
        for (const table of TABLES) expect(await organizations(client, table)).toEqual(both);
      }
      for (const view of [
        'health',
        'cursor_health',
        'wal_holders',
        'organization_health',
        'alerts',
        'event_timeline',
        'queue_status',
        'error_summary',
      ]) {
        await client.query(`SELECT * FROM walpost.${view}`);
      }
      await client.query(`SELECT walpost.prune('0', 10)`);
    },
  );

  test('an operator discards and asks for jobs, but publishes nothing and moves no cursor', async () => {
    const client = await member('walpost_operator');
    await client.query(`INSERT INTO walpost.jobs (slot, kind) VALUES ('test', 'replay')`);
    expect((await client.query('DELETE FROM walpost.dead_letters')).rowCount).toBe(2);
    expect((await client.query(`UPDATE walpost.parked SET sink = 'other'`)).rowCount).toBe(2);
    await client.query(`UPDATE walpost.settings SET value = '5' WHERE name = 'alert_waiting'`);
    for (const sql of [
      'UPDATE walpost.cursor SET lsn = NULL',
      `SELECT walpost.publish(gen_random_uuid(), 'a', '{}')`,
      'DELETE FROM walpost.outbox',
    ]) {
      await expect(client.query(sql)).rejects.toMatchObject({ code: '42501' });
    }
  });

  test('a relay writes no event and no setting', async () => {
    const client = await member('walpost_relay');
    for (const sql of [
      `INSERT INTO walpost.outbox (organization_id, event_type, payload) VALUES (gen_random_uuid(), 'a', '{}')`,
      'DELETE FROM walpost.outbox',
      'DELETE FROM walpost.settings',
    ]) {
      await expect(client.query(sql)).rejects.toMatchObject({ code: '42501' });
    }
  });
});

test('a role that is in no group may nothing', async () => {
  const client = await member();
  await expect(client.query('SELECT FROM walpost.outbox')).rejects.toMatchObject({ code: '42501' });
});

describe('the owner, who is not superuser', () => {
  let owner: pg.Client;
  beforeEach(async () => {
    const role = await createRole(database);
    await database.query(
      `ALTER SCHEMA walpost OWNER TO ${role.name}; ALTER SCHEMA walpost_internal OWNER TO ${role.name}; GRANT CREATE ON DATABASE ${database.name} TO ${role.name}`,
    );
    for (const { sql } of await database.query<{ sql: string }>(`
      SELECT format('ALTER %s %s OWNER TO ${role.name}', CASE relkind WHEN 'v' THEN 'VIEW' ELSE 'TABLE' END, oid::regclass) AS sql
        FROM pg_class WHERE relnamespace IN ('walpost'::regnamespace, 'walpost_internal'::regnamespace) AND relkind IN ('r', 'v')
       UNION ALL
      SELECT format('ALTER FUNCTION %s OWNER TO ${role.name}', oid::regprocedure) FROM pg_proc WHERE pronamespace IN ('walpost'::regnamespace, 'walpost_internal'::regnamespace)`)) {
      await database.query(sql);
    }
    owner = await role.client();
    roles.push(role);
  });

  test.each(TABLES)('%s: everything, whatever the setting, also where hidden rows would be an error', async (table) => {
    await owner.query('SET row_security = off'); // as pg_dump does
    for (const id of ['', mine]) {
      await workFor(owner, id);
      expect(await organizations(owner, table)).toEqual(both);
    }
  });

  test('prune and capture work across organizations, whatever the setting', async () => {
    await owner.query(
      `CREATE SCHEMA app; CREATE TABLE app.jobs (id int, organization_id uuid); SELECT walpost.capture('app.jobs', 'job')`,
    );
    await workFor(owner, mine);
    await owner.query(`INSERT INTO app.jobs VALUES (1, $1), (2, $2)`, [mine, other]);
    expect(await organizations(owner, 'outbox')).toEqual([mine, mine, other, other].toSorted());
    await settleAll(database);
    expect((await owner.query(`SELECT walpost.prune('0', 100)`)).rows).toEqual([{ prune: '4' }]);
    expect(await database.query('SELECT FROM walpost.outbox')).toEqual([]);
  });
});

describe('a Supabase token', () => {
  beforeEach(() =>
    database.query(`
      CREATE SCHEMA auth;
      CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE sql STABLE AS $$
        SELECT coalesce(nullif(current_setting('request.jwt.claim', true), ''), nullif(current_setting('request.jwt.claims', true), ''))::jsonb $$;
      GRANT USAGE ON SCHEMA auth TO PUBLIC`),
  );
  const claim = (client: pg.Client, claims: object) =>
    client.query(`SELECT set_config('request.jwt.claims', $1, false)`, [JSON.stringify(claims)]);

  test('names the organization, and goes before the setting', async () => {
    const client = await member('walpost_reader');
    await claim(client, { app_metadata: { organization_id: mine } });
    expect(await organizations(client, 'outbox')).toEqual([mine]);
    await workFor(client, other);
    expect(await organizations(client, 'outbox')).toEqual([mine]);
    await claim(client, { organization_id: other });
    expect(await organizations(client, 'outbox')).toEqual([other]);
    await claim(client, { role: 'service_role' });
    expect(await organizations(client, 'outbox')).toEqual([other]);
  });

  test('what users write into it themselves is not believed', async () => {
    const client = await member('walpost_reader');
    await claim(client, { user_metadata: { organization_id: mine } });
    expect(await organizations(client, 'outbox')).toEqual([]);
  });

  test('a role that may not call auth.jwt falls back to the setting', async () => {
    await database.query('REVOKE USAGE ON SCHEMA auth FROM PUBLIC');
    const client = await member('walpost_publisher');
    await workFor(client, mine);
    await client.query(`SELECT walpost.publish($1, 'a', '{}')`, [mine]);
  });
});
