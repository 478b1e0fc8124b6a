/** What somebody left in the database before migrate, to run with its rights. Following the remedy works. */
import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { migrate, plan } from '../../src/postgres/schema/migrate.ts';
import { type DatabaseRole, createRole } from '../support/database-role.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';

let database: TestDatabase;
let role: DatabaseRole;
let attacker: pg.Client;
const prepare = async (migrated: boolean): Promise<void> => {
  database = await createTestDatabase({ migrated });
  role = await createRole(database);
  await database.query(`GRANT CREATE ON DATABASE ${database.name} TO ${role.name}`);
  attacker = await role.client();
  await attacker.query(`
    CREATE SCHEMA app; GRANT USAGE ON SCHEMA app TO PUBLIC;
    CREATE FUNCTION app.attack() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN ALTER ROLE ${role.name} SUPERUSER; RETURN NEW; EXCEPTION WHEN insufficient_privilege THEN RETURN NEW; END $$;
    CREATE FUNCTION app.pure(n integer) RETURNS integer LANGUAGE plpgsql IMMUTABLE AS $$
      BEGIN ALTER ROLE ${role.name} SUPERUSER; RETURN n; EXCEPTION WHEN insufficient_privilege THEN RETURN n; END $$;
    CREATE FUNCTION app.number() RETURNS integer LANGUAGE plpgsql AS $$
      BEGIN ALTER ROLE ${role.name} SUPERUSER; RETURN 0; EXCEPTION WHEN insufficient_privilege THEN RETURN 0; END $$`);
};
beforeEach(() => prepare(false));
afterEach(async () => {
  const gained = await database.query(`SELECT rolname FROM pg_roles WHERE rolname = '${role.name}' AND rolsuper`);
  await database.query(`DROP EVENT TRIGGER IF EXISTS spy`);
  await role[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
  if (gained.length > 0) throw new Error('the attacker is a superuser');
});

async function refused(what: string): Promise<string> {
  for (const attempt of [plan, migrate]) {
    await expect(attempt(database.url)).rejects.toMatchObject({
      code: 'SCHEMA_FOREIGN',
      message: expect.stringContaining(what) as string,
    });
  }
  const error = await migrate(database.url).catch((it: { remedy: string }) => it);
  return (error as { remedy: string }).remedy;
}

const MIGRATIONS = `CREATE TABLE walpost.migrations (number integer PRIMARY KEY, name text, checksum text, breaking boolean, applied_at timestamptz DEFAULT now())`;

test('a schema walpost of somebody else', async () => {
  await attacker.query(`CREATE SCHEMA walpost; ${MIGRATIONS};
    CREATE TRIGGER attack BEFORE INSERT ON walpost.migrations FOR EACH ROW EXECUTE FUNCTION app.attack()`);
  const remedy = await refused(`The schema walpost belongs to ${role.name}, not to postgres`);
  expect(remedy).toContain('DROP SCHEMA walpost CASCADE');
  await database.query('DROP SCHEMA walpost CASCADE');
  await migrate(database.url);
});

test('a schema walpost_internal of somebody else', async () => {
  await attacker.query('CREATE SCHEMA walpost_internal');
  const remedy = await refused(`The schema walpost_internal belongs to ${role.name}, not to postgres`);
  expect(remedy).toContain('DROP SCHEMA walpost_internal CASCADE');
  await database.query('DROP SCHEMA walpost_internal CASCADE');
  await migrate(database.url);
});

test.each([
  ['VIEW walpost.early', 'CREATE VIEW walpost.early AS SELECT 1 AS n'],
  ['MATERIALIZED VIEW walpost.early', 'CREATE MATERIALIZED VIEW walpost.early AS SELECT 1 AS n'],
  ['SEQUENCE walpost.early', 'CREATE SEQUENCE walpost.early'],
  ['TYPE walpost.early', `CREATE TYPE walpost.early AS ENUM ('a')`],
  ['TYPE walpost.early', 'CREATE DOMAIN walpost.early AS text'],
  [
    'OPERATOR walpost.===(integer,integer)',
    'CREATE OPERATOR walpost.=== (LEFTARG = integer, RIGHTARG = integer, FUNCTION = int4eq)',
  ],
])('%s of somebody else: %s', async (what, sql) => {
  await database.query(`CREATE SCHEMA walpost; GRANT ALL ON SCHEMA walpost TO ${role.name}`);
  await attacker.query(sql);
  const remedy = await refused(`${what} belongs to ${role.name}`);
  await database.query(remedy.replace(', if you know where it comes from; else drop it.', ''));
  await migrate(database.url);
});

test('a table, or a function, of somebody else in our schemas', async () => {
  await database.query(`
    CREATE SCHEMA walpost; GRANT ALL ON SCHEMA walpost TO ${role.name};
    CREATE SCHEMA walpost_internal; GRANT ALL ON SCHEMA walpost_internal TO ${role.name}`);
  await attacker.query(MIGRATIONS);
  expect(await refused(`TABLE walpost.migrations belongs to ${role.name}`)).toContain('OWNER TO postgres');
  await database.query(`DROP TABLE walpost.migrations`);
  await attacker.query(`CREATE FUNCTION walpost_internal.setting(text, numeric) RETURNS numeric LANGUAGE sql RETURN 1`);
  await refused(`ROUTINE walpost_internal.setting(text,numeric) belongs to ${role.name}`);
  await database.query(`DROP FUNCTION walpost_internal.setting(text, numeric)`);
  await migrate(database.url);
});

test.each([
  [
    'CREATE TRIGGER attack BEFORE INSERT ON walpost.migrations FOR EACH ROW EXECUTE FUNCTION app.attack()',
    'Trigger attack',
  ],
  [
    'ALTER TABLE walpost.migrations ALTER COLUMN number SET DEFAULT app.number()',
    'Default of walpost.migrations.number',
  ],
  ['ALTER TABLE walpost.migrations ADD CONSTRAINT c CHECK (number > app.number())', 'Constraint c'],
  ['CREATE RULE r AS ON INSERT TO walpost.migrations DO ALSO SELECT app.number()', 'Rule r'],
  ['CREATE RULE r AS ON INSERT TO walpost.migrations DO INSTEAD NOTHING', 'Rule r'],
  ['CREATE INDEX early ON walpost.migrations (app.pure(number))', 'Index walpost.early'],
  ['CREATE INDEX early ON walpost.migrations (number) WHERE app.pure(number) > 0', 'Index walpost.early'],
  ['CREATE POLICY p ON walpost.migrations USING (app.number() = 0)', 'Policy p'],
])('%s', async (sql, what) => {
  await database.query(`CREATE SCHEMA walpost; ${MIGRATIONS}; ${sql}`);
  const remedy = await refused(what);
  await database.query(remedy.replace('; then run it again.', ''));
  await migrate(database.url);
});

test('a column of a type of somebody else', async () => {
  await attacker.query(`CREATE DOMAIN app.number AS integer CHECK (app.pure(VALUE) IS NOT NULL)`);
  await database.query(
    `CREATE SCHEMA walpost; CREATE TABLE walpost.migrations (number app.number PRIMARY KEY, name text, checksum text, breaking boolean, applied_at timestamptz DEFAULT now())`,
  );
  const remedy = await refused(`A column of walpost.migrations runs type app.number of ${role.name}`);
  await database.query(remedy.replace('; then run it again.', ''));
  await migrate(database.url);
});

test('a trigger that a grant let somebody make on a table of ours', async () => {
  await migrate(database.url);
  await database.query(
    `GRANT USAGE ON SCHEMA walpost TO ${role.name}; GRANT TRIGGER ON walpost.outbox TO ${role.name}`,
  );
  await attacker.query(
    'CREATE TRIGGER attack AFTER INSERT ON walpost.outbox FOR EACH ROW EXECUTE FUNCTION app.attack()',
  );
  const remedy = await refused(`Trigger attack of walpost.outbox runs function app.attack() of ${role.name}`);
  await database.query(remedy.replace('; then run it again.', ''));
  expect(await migrate(database.url)).toEqual([]);
});

test('an event trigger whose function belongs to somebody else', async () => {
  await attacker.query(
    `CREATE FUNCTION app.spy() RETURNS event_trigger LANGUAGE plpgsql AS $$ BEGIN ALTER ROLE ${role.name} SUPERUSER; END $$`,
  );
  await database.query(`CREATE EVENT TRIGGER spy ON ddl_command_end EXECUTE FUNCTION app.spy()`);
  // Disabled for the time of the test's own statements would be no test: it is looked at before the first of ours.
  expect(await refused('Event trigger spy runs function app.spy()')).toContain('ALTER EVENT TRIGGER spy DISABLE');
  await database.query('ALTER EVENT TRIGGER spy DISABLE');
  await migrate(database.url);
});

test('triggers of our own role, and of a superuser, are left alone', async () => {
  await migrate(database.url);
  await database.query(`
    CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
    CREATE TRIGGER note AFTER INSERT ON walpost.outbox FOR EACH ROW EXECUTE FUNCTION public.note()`);
  expect(await migrate(database.url)).toEqual([]);
});
