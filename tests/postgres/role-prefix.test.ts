/** Several installations in one cluster: each has roles of its own, so that a login of one has no right in the other. */
import { randomBytes, randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { schemaScript } from '../../src/postgres/schema/schema-script.ts';
import { planPreparation } from '../../src/postgres/source/source-preparation.ts';
import { ConfigFile, LEAST } from '../support/config-file.ts';
import { createRole } from '../support/database-role.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { schemaListing } from '../support/schema-listing.ts';
import { walpost } from '../support/walpost-cli.ts';

let database: TestDatabase;
let prefix: string;
let file: ConfigFile;
beforeEach(async () => {
  database = await createTestDatabase();
  prefix = `p${randomBytes(4).toString('hex')}_`;
  const text = LEAST.replace('postgres://localhost/app', JSON.stringify(database.url));
  file = new ConfigFile(`${text}roles: { prefix: ${prefix} }\n`);
});
afterEach(async () => {
  file[Symbol.dispose]();
  await migrate(database.url, { rolePrefix: '' });
  for (const { name } of await roles()) await database.query(`DROP ROLE ${name}`);
  await database[Symbol.asyncDispose]();
});

const roles = (): Promise<{ name: string }[]> =>
  database.query(`SELECT rolname AS name FROM pg_roles WHERE starts_with(rolname, $1) ORDER BY 1`, [prefix]);
const deviations = (): Promise<unknown[]> => database.query('SELECT what FROM walpost.deviations()');
const cli = (...argv: string[]) => walpost([...argv, '-c', file.path]);
const published = async (group: string): Promise<unknown> => {
  await using role = await createRole(database, { in: [group] });
  const client = await role.client();
  const organization = randomUUID();
  await client.query(`SELECT set_config('app.current_org_id', $1, false)`, [organization]);
  return await client.query(`SELECT walpost.publish($1, 'a', '{}')`, [organization]).then(
    () => 'published',
    ({ code }: { code: string }) => code,
  );
};

test('doctor names the role with the prefix, and its statement mends the login', async () => {
  await cli('migrate');
  await using role = await createRole(database, { in: [], attributes: 'REPLICATION' });
  const found = async () => {
    const { stdout } = await cli('doctor', '--json', '--set', `database.url=${role.url}`);
    return (JSON.parse(stdout) as { findings: { code: string; remedy: string }[] }).findings;
  };
  const remedy = (await found()).find(({ code }) => code === 'RELAY_ROLE')?.remedy ?? '';
  expect(remedy).toBe(`GRANT "${prefix}walpost_relay" TO "${role.name}";`);
  await database.query(remedy);
  expect((await found()).map(({ code }) => code)).not.toContain('RELAY_ROLE');
});

test('migrate makes the roles with the prefix, and takes the rights of the others away', async () => {
  expect(await published('walpost_publisher')).toBe('published');
  const migrated = await cli('migrate');
  expect(migrated).toMatchObject({ code: 0, stderr: '' });
  expect(migrated.stdout).toContain(`mended: role ${prefix}walpost_relay is missing`);
  expect((await roles()).map(({ name }) => name.slice(prefix.length))).toEqual([
    'walpost_operator',
    'walpost_publisher',
    'walpost_reader',
    'walpost_relay',
  ]);
  expect(await deviations()).toEqual([]);
  expect(await published(`${prefix}walpost_publisher`)).toBe('published');
  expect(await published('walpost_publisher')).toBe('42501');
  expect(await cli('migrate')).toMatchObject({ code: 0, stdout: 'The walpost schema is up to date.\n' });
  // A configuration without the option leaves it alone.
  expect(await migrate(database.url)).toEqual([]);
  expect(await deviations()).toEqual([]);
});

test('the script of --sql makes the same schema', async () => {
  await cli('migrate');
  const listing = await schemaListing(await database.client());
  await using other = await createTestDatabase({ migrated: false });
  const script = await walpost(['migrate', '--sql', '--role-prefix', prefix]);
  expect(script).toMatchObject({ code: 0, stdout: await schemaScript(prefix) });
  await other.query(script.stdout);
  expect(await schemaListing(await other.client())).toBe(listing);
  expect(listing).toContain(`${prefix}walpost_relay`);
  await migrate(other.url, { rolePrefix: '' });
});

test('a relay with the role of its installation delivers, also what emit has signed', async () => {
  await cli('migrate');
  await using role = await createRole(database, { in: [`${prefix}walpost_relay`], attributes: 'REPLICATION' });
  await using log = await EventLog.start();
  await using relay = await RelayInProcess.start({
    database: { ...database, url: role.url },
    sinks: log.sinks,
    source: { messages: true },
  });
  const rows = await database.query<{ id: string }>(
    `SELECT walpost.publish(gen_random_uuid(), 'a', '{}')::text AS id UNION ALL SELECT walpost.emit(gen_random_uuid(), 'b', '{}')::text`,
  );
  await log.has(rows.map(({ id }) => id));
  await relay.stop();
});

test('a table of your own is given to the relay of the installation, and removal drops its roles alone', async () => {
  await cli('migrate');
  await database.query(
    'CREATE SCHEMA app; CREATE TABLE app.events (id int); ALTER TABLE app.events ENABLE ROW LEVEL SECURITY',
  );
  const plan = await planPreparation({ db: await database.client(), publication: 'mine', table: 'app.events' });
  expect(plan.map(({ sql }) => sql)).toContain(
    `CREATE POLICY walpost_relay ON "app"."events" FOR SELECT TO "${prefix}walpost_relay" USING (true)`,
  );
  for (const { sql } of plan) await database.query(sql);
  const others = { db: await database.client(), publication: 'mine', table: 'app.events', rolePrefix: '' };
  expect((await planPreparation(others)).map(({ sql }) => sql)).toContain(
    'ALTER POLICY walpost_relay ON "app"."events" TO "walpost_relay"',
  );
  await database.query('DROP TABLE app.events; DROP SCHEMA app; DROP PUBLICATION mine');
  expect(await cli('uninstall', '--yes')).toMatchObject({ code: 0, stderr: '' });
  expect(await roles()).toEqual([]);
  await migrate(database.url);
});

test('a prefix that cannot be one is refused', async () => {
  const refused = await walpost(['migrate', '--sql', '--role-prefix', "x'; DROP"]);
  expect(refused).toMatchObject({ code: 2, stderr: expect.stringMatching(/^USAGE/) });
  const configured = await cli('migrate', '--set', 'roles.prefix=pg_x');
  expect(configured).toMatchObject({ code: 2, stderr: expect.stringContaining('roles.prefix') });
});
