/** `walpost uninstall`: what goes, what stays, and what keeps it from doing anything. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { planPreparation } from '../../src/postgres/source/source-preparation.ts';
import { ConfigFile, LEAST } from '../support/config-file.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { createRole } from '../support/database-role.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { type CliResult, walpost } from '../support/walpost-cli.ts';
import { Terminal, terminalMissing } from '../situations/terminal.ts';

const noTerminal = terminalMissing();

const configFor = (url: string): string => LEAST.replace('postgres://localhost/app', JSON.stringify(url));

let database: TestDatabase;
let file: ConfigFile;
beforeEach(async () => {
  database = await createTestDatabase();
  file = new ConfigFile(configFor(database.url));
});
afterEach(async () => {
  file[Symbol.dispose]();
  await database[Symbol.asyncDispose]();
});

const uninstall = (...flags: string[]): Promise<CliResult> => walpost(['uninstall', '-c', file.path, ...flags]);
const sinks = { log: { type: 'discard' } };

/** A relay that has led and has ended in good order, so that there is a slot. */
async function ranOnce(source = {}): Promise<void> {
  await using relay = await RelayInProcess.start({ database, sinks, source });
  await relay.stop();
}
const slots = (): Promise<unknown[]> =>
  database.query('SELECT slot_name FROM pg_replication_slots WHERE database = current_database()');
const ours = (): Promise<unknown[]> =>
  database.query(`SELECT nspname AS name FROM pg_namespace WHERE nspname LIKE 'walpost%'
                   UNION ALL SELECT pubname FROM pg_publication`);

test('everything goes, and the application goes on', async () => {
  await database.query(`
    CREATE SCHEMA app; CREATE TABLE app.jobs (id int, organization_id uuid);
    CREATE FUNCTION app.tell() RETURNS uuid LANGUAGE sql AS $$ SELECT walpost.publish(gen_random_uuid(), 'a', '{}') $$;
    SELECT walpost.capture('app.jobs', 'job'); SELECT app.tell();
    SELECT walpost.add_endpoint('hooks', gen_random_uuid(), 'https://example.com/')`);
  await ranOnce();
  const looked = await uninstall('--dry-run');
  expect(looked).toMatchObject({ code: 0, stderr: '' });
  for (const line of [`Goes: slot ${database.slotName}`, 'Goes: publication walpost', 'triggers of app.jobs'])
    expect(looked.stdout).toContain(line);
  expect(await slots()).toHaveLength(1);
  expect(await uninstall()).toMatchObject({ code: 2, stderr: expect.stringContaining('Add --yes') });
  expect(await ours()).toHaveLength(3);

  const done = await uninstall('--yes');
  expect(done).toMatchObject({ code: 0, stderr: '' });
  expect(done.stdout).toContain('Stays, and fails: it names the schema walpost: app.tell()');
  // Other databases of this server have walpost too.
  expect(done.stdout).toMatch(/Stays: role walpost_publisher: .*database/);
  expect([...(await slots()), ...(await ours())]).toEqual([]);
  await database.query('INSERT INTO app.jobs VALUES (1, gen_random_uuid())');
  expect(await uninstall('--yes')).toMatchObject({ code: 0, stdout: 'walpost is not installed in this database.\n' });
  await migrate(database.url);
});

test.skipIf(noTerminal !== undefined)(
  'what came after it was shown is not removed: a person is asked again',
  async () => {
    await database.query('CREATE SCHEMA app; CREATE TABLE app.jobs (id int, organization_id uuid)');
    const argv = ['uninstall', '-c', file.path];
    {
      await using terminal = new Terminal(argv, { cwd: file.directory });
      await terminal.shows(/for good\? \[y\/N\]/);
      await database.query(`SELECT walpost.capture('app.jobs', 'job')`);
      terminal.type('y\n');
      const { code, text } = await terminal.end();
      expect({ code, text }).toMatchObject({ code: 2, text: expect.stringContaining('nothing was changed') });
    }
    expect(await ours()).toHaveLength(3);
    await using terminal = new Terminal(argv, { cwd: file.directory });
    await terminal.shows(/the capture triggers of app\.jobs[^]*\[y\/N\]/);
    terminal.type('y\n');
    expect((await terminal.end()).code).toBe(0);
    expect(await ours()).toEqual([]);
  },
);

test('it does nothing while a relay streams', async () => {
  await using relay = await RelayInProcess.start({ database, sinks });
  const refused = await uninstall('--yes');
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/^RELAY_RUNS[^]*streams from slot/) });
  expect(await ours()).toHaveLength(3);
  await relay.stop();
  expect(await uninstall('--yes')).toMatchObject({ code: 0 });
});

test.each([
  ['CREATE VIEW app.waiting AS SELECT event_id FROM walpost.outbox', 'view app.waiting'],
  ['CREATE TABLE app.log (id uuid DEFAULT walpost.uuid_v7())', 'default value for column id of table app.log'],
  ['CREATE TABLE app.log (id uuid REFERENCES walpost.outbox)', 'constraint log_id_fkey on table app.log'],
  ['CREATE FUNCTION app.f() RETURNS uuid LANGUAGE sql BEGIN ATOMIC SELECT walpost.uuid_v7(); END', 'function app.f()'],
])('nothing of the application goes with it: %s', async (sql, name) => {
  await database.query(`CREATE SCHEMA app; ${sql}`);
  const refused = await uninstall('--yes');
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringContaining('SCHEMA_IN_USE') });
  expect(refused.stderr).toContain(`It is ${name}.`);
  expect(await ours()).toHaveLength(3);
});

test('a table of your own and a publication of others stay', async () => {
  await database.query(`CREATE SCHEMA app; CREATE TABLE app.events (event_id uuid, organization_id uuid, event_type text, payload jsonb);
    CREATE TABLE app.other (id int); ALTER TABLE app.events ENABLE ROW LEVEL SECURITY`);
  const client = await database.client();
  for (const { sql } of await planPreparation({ db: client, publication: 'mine', table: 'app.events' }))
    await client.query(sql);
  await client.query('ALTER PUBLICATION mine ADD TABLE app.other');
  const columns = Object.fromEntries(
    ['event_version', 'topic', 'entity_type', 'entity_id', 'target', 'idempotency_key', 'headers', 'created_at'].map(
      (name) => [name, null],
    ),
  );
  await ranOnce({ table: 'app.events', publication: 'mine', columns, existing: 'skip' });
  const done = await uninstall('--yes');
  expect(done).toMatchObject({ code: 0, stderr: '' });
  expect(done.stdout).toContain('Stays: publication mine: it publishes other tables too');
  expect(done.stdout).toContain('created_xid and seq, and their index, of app.events');
  expect([...(await slots()), ...(await ours())]).toEqual([{ name: 'mine' }]);
  expect(
    await database.query(`SELECT FROM pg_policy WHERE polname = 'walpost_relay'
                           UNION ALL SELECT FROM pg_class, aclexplode(relacl) AS a WHERE relname = 'events' AND a.grantee <> relowner`),
  ).toEqual([]);
});

test('who is not the owner is told who is', async () => {
  await using role = await createRole(database);
  using other = new ConfigFile(configFor(role.url));
  const refused = await walpost(['uninstall', '-c', other.path, '--yes']);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/^PERMISSION_DENIED[^]*Run it as postgres/) });
});
