/** Who may see and change which endpoints, and that nobody but the relay sees a secret. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { createRole, type DatabaseRole } from '../support/database-role.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addEndpoint, type NewEndpoint, refusal, workFor } from '../support/endpoint-calls.ts';
import { type PostgresMajor, startServer } from '../support/server.ts';

const [ours, theirs] = [randomUUID(), randomUUID()];
const DENIED = { code: '42501' };

/** Everything that a server can be told to keep of statements. */
const SETTINGS = {
  shared_preload_libraries: 'pg_stat_statements,auto_explain',
  'pg_stat_statements.track': 'all',
  'auto_explain.log_min_duration': '0',
  'auto_explain.log_nested_statements': 'on',
  'auto_explain.log_verbose': 'on',
  'auto_explain.log_analyze': 'on',
  log_statement: 'all',
  log_duration: 'on',
  log_parameter_max_length: '-1',
  log_parameter_max_length_on_error: '-1',
  logging_collector: 'on',
  log_filename: 'log',
};

describe.each<PostgresMajor>(['15', '17'])('on Postgres %s', (version) => {
  let server: Awaited<ReturnType<typeof startServer>>;
  let database: TestDatabase;
  const roles: DatabaseRole[] = [];
  let publisher: pg.Client;
  let foreign: NewEndpoint;
  beforeAll(async () => {
    server = await startServer(version, { settings: SETTINGS });
    database = await createTestDatabase({ server: server.url() });
    await database.query('CREATE EXTENSION pg_stat_statements');
    foreign = await addEndpoint(database, theirs);
    publisher = await login({ in: ['walpost_publisher'] });
    await workFor(publisher, ours);
  }, 120_000);
  afterAll(async () => {
    for (const role of roles) await role[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
    await server[Symbol.asyncDispose]();
  });

  async function login(options: Parameters<typeof createRole>[1]): Promise<pg.Client> {
    const role = await createRole(database, options);
    roles.push(role);
    return role.client();
  }

  const CALLS = [
    `walpost.update_endpoint($1, url => 'https://example.com/')`,
    'walpost.rotate_endpoint_secret($1)',
    'walpost.pause_endpoint($1)',
    'walpost.enable_endpoint($1)',
    'walpost.send_test_event($1)',
    'walpost.disable_endpoint($1)',
    'walpost.remove_endpoint($1)',
  ];

  test('a publisher manages the endpoints of the organization of its session', async () => {
    const { id } = await addEndpoint(publisher, ours);
    expect((await publisher.query('SELECT endpoint_id FROM walpost.endpoints')).rows).toEqual([{ endpoint_id: id }]);
    for (const call of CALLS) await publisher.query(`SELECT ${call}`, [id]);
    expect((await publisher.query('SELECT FROM walpost.endpoints')).rowCount).toBe(0);
  });

  test('it neither adds nor sees nor changes nor locks those of another one', async () => {
    expect(await refusal(addEndpoint(publisher, theirs))).toMatchObject({
      ...DENIED,
      hint: expect.stringContaining(`SET LOCAL app.current_org_id = '${theirs}'`) as string,
    });
    const holder = await database.client();
    await holder.query('BEGIN');
    await holder.query('SELECT FROM walpost.endpoints WHERE endpoint_id = $1 FOR UPDATE', [foreign.id]);
    await publisher.query(`SET lock_timeout = '1s'`);
    for (const call of CALLS) {
      expect(await refusal(publisher.query(`SELECT ${call}`, [foreign.id])), `${call} is tried`).toMatchObject({
        code: 'P0002',
      });
    }
    await holder.query('ROLLBACK');
    expect((await publisher.query('SELECT FROM walpost.endpoints')).rowCount).toBe(0);
    expect(
      await database.query('SELECT change FROM walpost.endpoint_changes WHERE endpoint_id = $1', [foreign.id]),
    ).toEqual([{ change: 'added' }]);
  });

  test('a session without an organization manages none', async () => {
    const client = await login({ in: ['walpost_publisher'] });
    expect(await refusal(addEndpoint(client, ours))).toMatchObject(DENIED);
    expect(await refusal(client.query('SELECT walpost.pause_endpoint($1)', [foreign.id]))).toMatchObject({
      code: 'P0002',
      detail: 'The session works for no organization.',
    });
  });

  test('it writes no table of endpoints itself, and calls no internal function', async () => {
    const { id } = await addEndpoint(publisher, ours);
    for (const sql of [
      `UPDATE walpost.endpoints SET url = 'https://127.0.0.1/' WHERE endpoint_id = '${id}'`,
      `DELETE FROM walpost.endpoints WHERE endpoint_id = '${id}'`,
      `INSERT INTO walpost.endpoints (sink, organization_id, url, event_types) VALUES ('hooks', '${ours}', 'https://127.0.0.1/', '{*}')`,
      `INSERT INTO walpost.endpoint_changes (endpoint_id) VALUES ('${id}')`,
      'SELECT FROM walpost.endpoint_changes',
      'SELECT FROM walpost.endpoint_positions',
      'SELECT FROM walpost.endpoint_organizations',
      'DO $$ BEGIN LOCK TABLE walpost.endpoints IN SHARE MODE; END $$',
      `SELECT walpost_internal.make_endpoint_secret('${id}')`,
      `SELECT walpost_internal.disable_failing_endpoint('${foreign.id}', 99, 'x')`,
      `SELECT walpost_internal.forget_missed('${foreign.id}')`,
      'SELECT walpost_internal.adopt_endpoints()',
      `SELECT walpost_internal.manages_endpoints_of('${theirs}')`,
    ]) {
      expect(await refusal(publisher.query(sql)), `${sql} is tried`).toMatchObject(DENIED);
    }
    await publisher.query('SELECT walpost.remove_endpoint($1)', [id]);
  });

  test('operators and the relay manage those of everybody; a reader sees those of its organization, without headers', async () => {
    for (const group of ['walpost_operator', 'walpost_relay']) {
      const client = await login({ in: [group] });
      expect((await client.query('SELECT walpost.pause_endpoint($1) AS changed', [foreign.id])).rows).toEqual([
        { changed: true },
      ]);
      expect((await client.query('SELECT walpost.enable_endpoint($1) AS changed', [foreign.id])).rows).toEqual([
        { changed: true },
      ]);
    }
    const reader = await login({ in: ['walpost_reader'] });
    await workFor(reader, theirs);
    expect((await reader.query('SELECT endpoint_id, url FROM walpost.endpoints')).rowCount).toBe(1);
    expect((await reader.query('SELECT change FROM walpost.endpoint_changes')).rowCount).toBeGreaterThan(1);
    expect(await refusal(reader.query('SELECT headers FROM walpost.endpoints'))).toMatchObject(DENIED);
    expect(await refusal(reader.query('SELECT walpost.pause_endpoint($1)', [foreign.id]))).toMatchObject(DENIED);
    await workFor(reader, ours);
    expect((await reader.query('SELECT endpoint_id FROM walpost.endpoints')).rowCount).toBe(0);
  });

  test('a token goes before the setting, and nobody runs code of auth.jwt', async () => {
    await database.query(`
      CREATE SCHEMA auth; CREATE FUNCTION auth.jwt() RETURNS jsonb LANGUAGE plpgsql AS 'BEGIN RAISE EXCEPTION ''called''; END'`);
    await publisher.query(`SELECT set_config('request.jwt.claims', $1, false)`, [
      JSON.stringify({ app_metadata: { organization_id: theirs } }),
    ]);
    expect(await refusal(addEndpoint(publisher, ours))).toMatchObject(DENIED);
    await publisher.query('SELECT walpost.pause_endpoint($1), walpost.enable_endpoint($1)', [foreign.id]);
    await publisher.query(`SELECT set_config('request.jwt.claims', '', false)`);
    await database.query('DROP SCHEMA auth CASCADE');
  });

  test('secrets are for the relay and the owner alone', async () => {
    const read = 'SELECT secret FROM walpost.endpoint_secrets';
    const relay = await login({ in: ['walpost_relay'] });
    expect((await relay.query(read)).rows).toContainEqual({ secret: foreign.secret });
    expect(await refusal(relay.query(`UPDATE walpost.endpoint_secrets SET secret = 'x'`))).toMatchObject(DENIED);
    for (const group of ['walpost_publisher', 'walpost_operator', 'walpost_reader']) {
      expect(await refusal((await login({ in: [group] })).query(read)), `${group} reads`).toMatchObject(DENIED);
    }
    expect((await (await login({ in: ['pg_read_all_data'] })).query(read)).rows).toEqual([]);
  });

  test('no log, view or statement of the server holds a secret, and no statistics hold a header either', async () => {
    const headers = JSON.stringify({ authorization: 'h3ad3r' });
    const many = [await login({ in: ['walpost_publisher'] }), await login({ in: ['walpost_publisher'] })];
    const secrets: string[] = [];
    for (const client of many) {
      await workFor(client, ours);
      const { rows } = await client.query<{ id: string; secret: string }>(
        `SELECT endpoint_id::text AS id, secret FROM walpost.add_endpoint('hooks', '${ours}', 'https://example.com/', headers => $1)`,
        [headers],
      );
      const id = rows[0]?.id ?? '';
      secrets.push(rows[0]?.secret ?? '');
      const rotated = await client.query<{ secret: string }>('SELECT walpost.rotate_endpoint_secret($1) AS secret', [
        id,
      ]);
      secrets.push(rotated.rows[0]?.secret ?? '');
      expect(await refusal(client.query(`SELECT walpost.rotate_endpoint_secret($1, '-1 s')`, [id]))).toMatchObject({
        code: '22023',
      });
      await client.query('SELECT walpost.disable_endpoint($1)', [id]);
    }
    await database.query('ANALYZE');
    const kept =
      await database.query(`SELECT to_jsonb(s)::text AS it FROM pg_statistic AS s JOIN pg_class AS c ON c.oid = s.starelid
      WHERE c.relname LIKE 'endpoint%' UNION ALL SELECT query FROM pg_stat_statements UNION ALL SELECT query FROM pg_stat_activity`);
    const [log] = await database.query<{ it: string }>('SELECT pg_read_file(pg_current_logfile()) AS it');
    expect(log?.it).toContain('INSERT INTO walpost.endpoint_secrets'); // what is looked for would be there
    const views = await database.query<{ view: string }>(
      `SELECT c.oid::regclass::text AS view FROM pg_class AS c WHERE c.relnamespace = 'walpost'::regnamespace AND c.relkind = 'v'`,
    );
    const shown: unknown[] = [
      await database.query('SELECT * FROM walpost.outbox'),
      await database.query('SELECT * FROM walpost.endpoint_changes'),
    ];
    for (const { view } of views) shown.push(await database.query(`SELECT * FROM ${view}`));
    expect(secrets.every((secret) => /^whsec_.{32}$/.test(secret))).toBe(true);
    for (const secret of secrets) {
      expect(JSON.stringify(kept)).not.toContain(secret);
      expect(log?.it).not.toContain(secret);
      expect(JSON.stringify(shown)).not.toContain(secret);
    }
    expect(JSON.stringify(kept)).not.toContain('h3ad3r');
  });

  test('nothing that others have planted is called', async () => {
    const mallory = await createRole(database);
    roles.push(mallory);
    await database.query(`
      CREATE TABLE public.called (what text); GRANT ALL ON public.called TO PUBLIC;
      CREATE SCHEMA evil AUTHORIZATION ${mallory.name}; GRANT USAGE ON SCHEMA evil TO PUBLIC`);
    const planter = await mallory.client();
    const body = (what: string, result: string) =>
      `LANGUAGE plpgsql AS $$ BEGIN INSERT INTO public.called VALUES ('${what}'); RETURN ${result}; END $$`;
    await planter.query(`
      SET search_path = evil, pg_catalog;
      CREATE FUNCTION lower(text) RETURNS text ${body('lower', 'pg_catalog.lower($1)')};
      CREATE FUNCTION char_length(text) RETURNS integer ${body('char_length', '1')};
      CREATE FUNCTION clock_timestamp() RETURNS timestamptz ${body('clock_timestamp', 'now()')};
      CREATE FUNCTION gen_random_uuid() RETURNS uuid ${body('gen_random_uuid', `'00000000-0000-0000-0000-000000000000'`)};
      CREATE FUNCTION same(uuid, uuid) RETURNS boolean ${body('=', 'true')};
      CREATE OPERATOR = (LEFTARG = uuid, RIGHTARG = uuid, FUNCTION = same);
      CREATE FUNCTION like_it(text, text) RETURNS boolean ${body('~', 'false')};
      CREATE OPERATOR ~ (LEFTARG = text, RIGHTARG = text, FUNCTION = like_it);
      CREATE FUNCTION xact() RETURNS xid8 ${body('xact', `'3'::xid8`)}`);
    const client = await login({ in: ['walpost_publisher'] });
    await workFor(client, ours);
    await client.query(`
      SET search_path = evil, pg_temp, pg_catalog;
      CREATE TEMP TABLE endpoints (endpoint_id uuid, organization_id uuid);
      CREATE TEMP TABLE settings (name text, topic text, value jsonb)`);
    const { id } = await addEndpoint(client, ours);
    for (const call of CALLS) await client.query(`SELECT ${call}`, [id]);
    expect(await refusal(client.query('SELECT walpost.pause_endpoint($1)', [foreign.id]))).toMatchObject({
      code: 'P0002',
    });
    expect(await database.query('SELECT what FROM public.called')).toEqual([]);
    await client.query('SELECT lower(NULL::text)');
    expect(await database.query('SELECT what FROM public.called')).toEqual([{ what: 'lower' }]);
  });
});
