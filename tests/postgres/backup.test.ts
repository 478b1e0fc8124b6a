/** Backup and restore, as docs/backup.md says it: its commands are run as they stand there, with the programs of Postgres 15. */
import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { LEAST } from '../support/config-file.ts';
import { compiled } from '../support/compiled.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { type DatabaseRole, createRole } from '../support/database-role.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { debianPostgresMissing, startDebianPostgres } from '../support/debian-postgres.ts';
import { DEBIAN_PROGRAMS } from '../support/debian-programs.ts';

const missing = await debianPostgresMissing();
const MAIN = compiled(join(import.meta.dirname, '../../src/main.ts'));
const PAGE = join(import.meta.dirname, '../../docs/backup.md');

/** The commands below a heading. */
async function commandsOf(heading: string): Promise<string> {
  const page = await readFile(PAGE, 'utf8');
  const section = page.split(/^#+ /m).find((text) => text.startsWith(`${heading}\n`));
  const commands = /^```sh\n([\s\S]*?)^```$/m.exec(section ?? '')?.[1];
  if (commands === undefined) throw new Error(`docs/backup.md has no commands below "${heading}"`);
  return commands;
}

describe.skipIf(missing)('backups', { timeout: 120_000 }, () => {
  let old: EmbeddedPostgres;
  let fresh: EmbeddedPostgres;
  beforeAll(async () => {
    [old, fresh] = await Promise.all([startDebianPostgres(), startDebianPostgres()]);
  });
  afterAll(async () => {
    await old[Symbol.asyncDispose]();
    await fresh[Symbol.asyncDispose]();
  });

  let directory: string;
  let database: TestDatabase;
  let target: TestDatabase;
  let owner: DatabaseRole;
  beforeEach(async () => {
    directory = await mkdtemp(join(tmpdir(), 'walpost-backup-'));
    database = await createTestDatabase({ server: old.url(), migrated: false });
    target = await createTestDatabase({ server: fresh.url(), migrated: false });
    owner = await createRole(database, { attributes: 'CREATEROLE' });
    await database.query(`ALTER DATABASE ${database.name} OWNER TO ${owner.name}`);
    await migrate(owner.url);
    const client = await owner.client();
    await client.query(`CREATE SCHEMA app; CREATE TABLE app.jobs (id int PRIMARY KEY, organization_id uuid);
      SELECT walpost.capture('app.jobs', 'job'); INSERT INTO app.jobs VALUES (1, gen_random_uuid());
      SELECT walpost.add_endpoint('hooks', gen_random_uuid(), 'https://example.com/')`);
  });
  afterEach(async () => {
    await target[Symbol.asyncDispose]();
    await database.query(`ALTER DATABASE ${database.name} OWNER TO CURRENT_USER`);
    await owner[Symbol.asyncDispose]();
    await database[Symbol.asyncDispose]();
    await rm(directory, { recursive: true });
  });

  /** What the commands print on standard error. */
  async function runCommands(heading: string, url = target.url): Promise<string> {
    const walpost = join(directory, 'walpost');
    await writeFile(walpost, `#!/bin/sh\nexec "${process.execPath}" "${MAIN}" "$@"\n`, { mode: 0o755 });
    await writeFile(join(directory, 'walpost.yaml'), LEAST.replace('postgres://localhost/app', JSON.stringify(url)));
    const env = {
      PATH: `${directory}:${DEBIAN_PROGRAMS}:/usr/bin:/bin`,
      LC_ALL: 'C',
      DATABASE_URL: owner.url,
      NEW_URL: target.url,
    };
    const { stderr } = await promisify(execFile)('sh', ['-ec', await commandsOf(heading)], { cwd: directory, env });
    return stderr;
  }
  const deviations = () => target.query('SELECT what FROM walpost.deviations()');
  const events = () => target.query('SELECT event_type FROM walpost.outbox');
  const endpoints = () =>
    target.query(`SELECT e.url, s.secret LIKE 'whsec%' AS signed, c.change = 'added' AS noted
      FROM walpost.endpoints AS e JOIN walpost.endpoint_secrets AS s USING (endpoint_id) JOIN walpost.endpoint_changes AS c USING (endpoint_id)`);
  const CREATED = { event_type: 'job.created' };

  test('the owner, who is no superuser, dumps the database; with its roles it is what it was', async () => {
    expect(await runCommands('Backup')).toBe('');
    const notices = await runCommands('With the roles');
    expect(notices.split('\n').filter((line) => /ERROR/.test(line) && !/already exists/.test(line))).toEqual([]);
    expect(await events()).toEqual([CREATED]);
    expect(await deviations()).toEqual([]);
    expect(await endpoints()).toEqual([{ url: 'https://example.com/', signed: true, noted: true }]);
    expect(
      await target.query(`SELECT nspowner::regrole::text AS owner FROM pg_namespace WHERE nspname = 'walpost'`),
    ).toEqual([{ owner: owner.name }]);
    await target.query('INSERT INTO app.jobs VALUES (2, gen_random_uuid())');
    expect(await events()).toEqual([CREATED, CREATED]);
    await target.query(`REASSIGN OWNED BY ${owner.name} TO CURRENT_USER; DROP OWNED BY ${owner.name}`);
  });

  test('without its roles it is completed by migrate', async () => {
    await target.query(`DROP ROLE IF EXISTS walpost_publisher, walpost_relay, walpost_operator, walpost_reader`);
    await runCommands('Backup');
    expect(await runCommands('Without the roles')).toContain('role "walpost_relay" does not exist');
    expect(await deviations()).toEqual([]);
    expect(await migrate(target.url)).toEqual([]);
    await target.query('INSERT INTO app.jobs VALUES (2, gen_random_uuid())');
    expect(await events()).toEqual([CREATED, CREATED]);

    await using login = await createRole(target, { in: ['walpost_relay'], attributes: 'REPLICATION' });
    await using log = await EventLog.start();
    await using relay = await RelayInProcess.start({
      database: { ...target, url: login.url },
      sinks: log.sinks,
      source: { existing: 'deliver' }, // it is a copy
    });
    await log.receiver.received(2);
    await target.query('INSERT INTO app.jobs VALUES (3, gen_random_uuid())');
    await log.receiver.received(3);
    expect(log.events.map(({ event_type }) => event_type)).toEqual(Array(3).fill('job.created'));
    await relay.stop();
  });

  test('a schema of the application comes without the triggers, and capture makes them again', async () => {
    expect(await runCommands('A schema of the application alone')).toContain(
      'schema "walpost_internal" does not exist',
    );
    expect(await target.query('SELECT id FROM app.jobs')).toEqual([{ id: 1 }]);
    await migrate(target.url);
    await target.query(`SELECT walpost.capture('app.jobs', 'job'); INSERT INTO app.jobs VALUES (2, gen_random_uuid())`);
    expect(await events()).toEqual([CREATED]);
  });

  test('removal leaves the tables of the application, and writes to them go on', async () => {
    await runCommands('Removal', owner.url);
    expect(await database.query(`SELECT nspname FROM pg_namespace WHERE nspname LIKE 'walpost%'`)).toEqual([]);
    await database.query('INSERT INTO app.jobs VALUES (2, gen_random_uuid())');
  });
});
