/** The role model in surroundings that change it without a word: default privileges, restores, and people. */
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { RoleModelWatch } from '../../src/postgres/schema/role-model.ts';
import { newPool } from '../support/client.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { type DatabaseRole, createRole } from '../support/database-role.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';

let database: TestDatabase;
let role: DatabaseRole;
const open = async (migrated: boolean): Promise<void> => {
  database = await createTestDatabase({ migrated });
  role = await createRole(database);
};
const close = async (): Promise<void> => {
  await role[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
};
beforeEach(() => open(true));
afterEach(close);

async function mended(): Promise<string[]> {
  const lines: string[] = [];
  expect(await migrate(database.url, { onMended: (line) => lines.push(line) })).toEqual([]);
  return lines;
}
async function warnings(of = database): Promise<string[]> {
  await using relay = await createRole(of, { in: ['walpost_relay'] });
  const pool = createPool(relay.url, { applicationName: 'test', max: 1 });
  const lines: string[] = [];
  const watch = new RoleModelWatch();
  await watch.check(pool, (line) => lines.push(line));
  await watch.check(pool, (line) => lines.push(`again: ${line}`));
  await pool.end();
  return lines;
}
const held = async (name = role.name): Promise<string[]> =>
  (
    await database.query<{ what: string }>(
      `SELECT format('%s on %s', h.privilege, h.object) AS what FROM walpost_internal.held_rights() AS h WHERE h.role = $1`,
      [name],
    )
  ).map(({ what }) => what);

test('a migrated database has nothing to mend, and nothing to warn of', async () => {
  expect(await warnings()).toEqual([]);
  expect(await mended()).toEqual([]);
});

test('an application that is connected as the owner is warned of, by run and by migrate', async () => {
  const owner = new URL(database.url).username;
  const application = newPool({ connectionString: database.url, application_name: 'rails' });
  await application.query('SELECT 1');
  const connected = `the application 'rails' is connected as role ${owner}, which has the rights of the owner of the schema walpost: row-level security does not hide the rows of other organizations from it`;
  expect(await warnings()).toEqual([connected]);
  const notices: string[] = [];
  await migrate(database.url, { onNotice: (text) => notices.push(text) });
  await application.end();
  expect(notices).toEqual([
    expect.stringContaining(`warning: ${connected}. Let the application log in as a role of its own`),
  ]);
});

test('a login with the rights of the owner that is a publisher is warned of', async () => {
  await database.query(`ALTER SCHEMA walpost OWNER TO ${role.name}; GRANT walpost_publisher TO ${role.name}`);
  await using member = await createRole(database, { in: [role.name] });
  expect((await warnings()).filter((line) => line.includes('is a member of walpost_publisher'))).toEqual(
    [role.name, member.name]
      .toSorted()
      .map((name) =>
        expect.stringContaining(`role ${name} is a member of walpost_publisher, and has the rights of the owner`),
      ),
  );
  await database.query('ALTER SCHEMA walpost OWNER TO CURRENT_USER');
});

// On a server of its own, because roles belong to all databases of one, and other tests say what migrate has to say.
test('a publisher with BYPASSRLS reads what others wrote, and is warned of, by run and by migrate', async () => {
  await using server = await startServer();
  await using own = await createTestDatabase({ server: server.url() });
  const other = randomUUID();
  await own.query(`SELECT walpost.publish($1, 'a', '{}')`, [other]);
  await own.query(`
    CREATE ROLE service_role NOLOGIN BYPASSRLS; GRANT walpost_publisher TO service_role;
    CREATE ROLE support LOGIN BYPASSRLS; GRANT walpost_publisher, walpost_operator TO support;
    CREATE ROLE idle LOGIN BYPASSRLS`);
  await using authenticator = await createRole(own, { attributes: 'NOINHERIT', in: ['service_role'] });
  const client = await authenticator.client();
  await client.query(`SET ROLE service_role; SELECT set_config('app.current_org_id', '${randomUUID()}', false)`);
  expect((await client.query('SELECT organization_id FROM walpost.outbox')).rows).toEqual([{ organization_id: other }]);

  const line =
    'role service_role is a member of walpost_publisher, and has BYPASSRLS: row-level security does not hide the rows of other organizations from it';
  expect(await warnings(own)).toEqual([line]);
  const notices: string[] = [];
  const migrated = () => migrate(own.url, { onNotice: (text) => notices.push(text) });
  await migrated();
  expect(notices).toEqual([
    `warning: ${line}. Let the application log in as a role of its own without BYPASSRLS: CREATE ROLE … LOGIN; GRANT walpost_publisher TO …; REVOKE walpost_publisher FROM service_role.`,
  ]);

  await own.query('REVOKE walpost_publisher FROM service_role');
  await migrated();
  expect(notices).toHaveLength(1);
});

test('default privileges give an application nothing', async () => {
  await close();
  await open(false);
  await database.query(`
    ALTER DEFAULT PRIVILEGES GRANT ALL ON TABLES TO ${role.name};
    ALTER DEFAULT PRIVILEGES GRANT ALL ON SEQUENCES TO ${role.name};
    ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO ${role.name};
    ALTER DEFAULT PRIVILEGES GRANT ALL ON SCHEMAS TO ${role.name}`);
  await migrate(database.url);
  expect(await held()).toEqual([]);
  await database.query(`CREATE SCHEMA app; CREATE TABLE app.jobs (id int, organization_id uuid);
                        SELECT walpost.capture('app.jobs', 'job'), walpost.partition_outbox()`);
  expect(await held()).toEqual([]);
  expect(await mended()).toEqual([]);
});

test('a grant to a role directly is warned of, taken away and named; membership is the way', async () => {
  await database.query(`
    GRANT USAGE ON SCHEMA walpost TO ${role.name};
    GRANT SELECT, UPDATE ON walpost.outbox TO ${role.name} WITH GRANT OPTION;
    GRANT UPDATE (value) ON walpost.settings TO ${role.name};
    GRANT EXECUTE ON FUNCTION walpost.rotate_emit_key(interval) TO PUBLIC;
    GRANT DELETE ON walpost.outbox TO walpost_publisher;
    GRANT SELECT ON walpost.outbox TO walpost_reader WITH GRANT OPTION`);
  await using other = await createRole(database);
  const client = await role.client();
  await client.query(`GRANT SELECT ON walpost.outbox TO ${other.name}`);
  const lines = await warnings();
  const beyond = (who: string, what: string) => `role ${who} holds ${what}, which is not in the role model`;
  expect(lines.toSorted()).toEqual(
    [
      beyond(role.name, 'USAGE on walpost'),
      beyond(role.name, 'SELECT, UPDATE on walpost.outbox'),
      beyond(role.name, 'UPDATE (value) on walpost.settings'),
      beyond('PUBLIC', 'EXECUTE on walpost.rotate_emit_key(interval)'),
      beyond('walpost_publisher', 'DELETE on walpost.outbox'),
      beyond('walpost_reader', 'SELECT on walpost.outbox'),
      'role walpost_reader lacks SELECT on walpost.outbox',
    ].toSorted(),
  );
  expect((await mended()).toSorted()).toEqual(lines.toSorted());
  expect(await mended()).toEqual([]);
  await expect(client.query('SELECT FROM walpost.outbox')).rejects.toMatchObject({ code: '42501' });
  await expect((await other.client()).query('SELECT FROM walpost.outbox')).rejects.toMatchObject({ code: '42501' });
  await database.query(`GRANT walpost_reader TO ${role.name}`);
  await client.query('SELECT FROM walpost.outbox');
  expect(await mended()).toEqual([]);
});

test('what a restore without ACLs leaves open is closed, and what it took is given again', async () => {
  await database.query(`
    REVOKE ALL ON ALL TABLES IN SCHEMA walpost FROM walpost_publisher, walpost_reader, walpost_relay, walpost_operator;
    REVOKE ALL ON ALL FUNCTIONS IN SCHEMA walpost, walpost_internal FROM walpost_publisher, walpost_reader, walpost_relay, walpost_operator;
    REVOKE ALL ON SCHEMA walpost, walpost_internal FROM walpost_publisher, walpost_reader, walpost_relay, walpost_operator;
    GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA walpost, walpost_internal TO PUBLIC`);
  const lines = await mended();
  expect(lines).toContain(
    'role PUBLIC holds EXECUTE on walpost.rotate_emit_key(interval), which is not in the role model',
  );
  expect(lines).toContain(
    'role PUBLIC holds EXECUTE on walpost_internal.role_grants(), which is not in the role model',
  );
  expect(lines).toContain('role walpost_relay lacks USAGE on walpost');
  expect(lines).toContain('role walpost_relay lacks USAGE on walpost_internal');
  expect(await held('PUBLIC')).toEqual([]);
  await using publisher = await createRole(database, { in: ['walpost_publisher'] });
  const client = await publisher.client();
  const organization = randomUUID();
  await client.query(`SELECT set_config('app.current_org_id', $1, false)`, [organization]);
  await client.query(`SELECT walpost.publish($1, 'a', '{}')`, [organization]);
  expect(await mended()).toEqual([]);
});

test('policies, row-level security, statistics and publication come back', async () => {
  await database.query(`
    DROP POLICY walpost_relay ON walpost.outbox;
    ALTER POLICY walpost_operator ON walpost.parked USING (false);
    ALTER POLICY organization ON walpost.dead_letters USING (true);
    ALTER TABLE walpost.idempotency_keys DISABLE ROW LEVEL SECURITY;
    ALTER TABLE walpost.command_results FORCE ROW LEVEL SECURITY;
    ALTER TABLE walpost.emit_keys DISABLE ROW LEVEL SECURITY;
    ALTER TABLE walpost.emit_keys ALTER COLUMN secret SET STATISTICS -1;
    DROP PUBLICATION walpost`);
  const lines = await warnings();
  expect(lines).toHaveLength(8);
  for (const name of [
    'idempotency_keys',
    'command_results',
    'dead_letters',
    'emit_keys',
    'outbox',
    'parked',
    'publication',
  ]) {
    expect(lines.some((line) => line.includes(name))).toBe(true);
  }
  expect((await mended()).toSorted()).toEqual(lines.toSorted());
  expect(await mended()).toEqual([]);
  await database.query(`ALTER PUBLICATION walpost SET (publish = 'insert, delete', publish_via_partition_root = false);
                        ALTER PUBLICATION walpost DROP TABLE walpost.outbox`);
  expect(await mended()).toHaveLength(2);
  expect(
    await database.query(
      `SELECT tablename, pubdelete FROM pg_publication_tables JOIN pg_publication USING (pubname) ORDER BY 1`,
    ),
  ).toEqual([
    { tablename: 'endpoint_changes', pubdelete: false },
    { tablename: 'outbox', pubdelete: false },
  ]);
});

test('days of the outbox are secured as it is, also one that somebody else attached', async () => {
  await database.query('SELECT walpost.partition_outbox()');
  const leaves = () =>
    database.query<{ name: string }>(`
      SELECT c.oid::regclass::text AS name FROM pg_partition_tree('walpost.outbox') AS t JOIN pg_class AS c ON c.oid = t.relid
       WHERE NOT c.relrowsecurity OR c.relforcerowsecurity
          OR (SELECT count(*) FROM pg_policy AS p WHERE p.polrelid = c.oid) <> 3`);
  expect(await leaves()).toEqual([]);
  await database.query(`
    CREATE SCHEMA archive;
    CREATE TABLE archive.far (LIKE walpost.outbox INCLUDING DEFAULTS INCLUDING CONSTRAINTS);
    ALTER TABLE walpost.outbox ATTACH PARTITION archive.far FOR VALUES FROM ('2099-01-01') TO ('2100-01-01')`);
  expect(await leaves()).toHaveLength(1);
  expect((await mended()).filter((line) => line.includes('archive.far'))).toHaveLength(3);
  expect(await leaves()).toEqual([]);
});

test('the statistics of the server hold no key of emit', async () => {
  await database.query('SELECT walpost.rotate_emit_key() FROM generate_series(1, 20); ANALYZE walpost.emit_keys');
  expect(
    await database.query(`SELECT s.* FROM pg_statistic s JOIN pg_attribute a ON a.attrelid = s.starelid AND a.attnum = s.staattnum
                                WHERE a.attrelid = 'walpost.emit_keys'::regclass AND a.attname = 'secret'`),
  ).toEqual([]);
});
