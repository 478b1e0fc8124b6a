/**
 * What the owner of a captured table, or of a type in it, may try: code of theirs that would run with the rights of walpost.
 * Their function makes them a superuser where it can, and notes for whom it ran.
 */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { type DatabaseRole, createRole } from '../support/database-role.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';

const organization = randomUUID();

let database: TestDatabase;
let role: DatabaseRole;
let attacker: pg.Client;
beforeEach(async () => {
  database = await createTestDatabase();
  role = await createRole(database);
  attacker = await role.client();
  await database.query(`CREATE SCHEMA app AUTHORIZATION ${role.name}`);
  await attacker.query(`
    CREATE TABLE app.ran_as (name text);
    GRANT INSERT ON app.ran_as TO PUBLIC;
    CREATE FUNCTION app.attack() RETURNS void LANGUAGE plpgsql AS $$
      BEGIN
        INSERT INTO app.ran_as VALUES (current_user);
        ALTER ROLE ${role.name} SUPERUSER;
      EXCEPTION WHEN OTHERS THEN NULL;
      END $$;
    CREATE TYPE app.state AS ENUM ('low', 'high');
    CREATE TYPE app.pair AS (a int, b app.state);
    CREATE FUNCTION app.to_json(app.state) RETURNS json LANGUAGE plpgsql AS $$ BEGIN PERFORM app.attack(); RETURN '"forged"'; END $$;
    CREATE FUNCTION app.to_text(app.state) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM app.attack(); RETURN 'forged'; END $$;
    CREATE FUNCTION app.to_uuid(app.state) RETURNS uuid LANGUAGE plpgsql AS $$ BEGIN PERFORM app.attack(); RETURN '${organization}'; END $$;
    CREATE FUNCTION app.yes(text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM app.attack(); RETURN true; END $$;
    CREATE FUNCTION app.same(text, text) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM app.attack(); RETURN true; END $$;
    CREATE OPERATOR app.=== (LEFTARG = text, RIGHTARG = text, FUNCTION = app.same)`);
});
afterEach(async () => {
  const gained = await database.query(
    `SELECT rolname FROM pg_roles WHERE rolname = '${role.name}' AND rolsuper UNION ALL
     SELECT name FROM app.ran_as WHERE name <> '${role.name}'`,
  );
  await role[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
  if (gained.length > 0) throw new Error(`the attacker gained rights: ${JSON.stringify(gained)}`);
});

const CASTS = `
  CREATE CAST (app.state AS json) WITH FUNCTION app.to_json(app.state) AS IMPLICIT;
  CREATE CAST (app.state AS text) WITH FUNCTION app.to_text(app.state) AS IMPLICIT;
  CREATE CAST (app.state AS uuid) WITH FUNCTION app.to_uuid(app.state) AS IMPLICIT`;

const table = (columns: string) => attacker.query(`CREATE TABLE app.jobs (organization_id uuid, ${columns})`);
const capture = (more = '') => database.query(`SELECT walpost.capture('app.jobs', 'job'${more})`);
const write = (values: string) => attacker.query(`INSERT INTO app.jobs VALUES ('${organization}', ${values})`);
const events = () => database.query('SELECT event_type, entity_id, payload FROM walpost.outbox ORDER BY seq');
const created = (entity_id: string, payload: unknown) => [{ event_type: 'job.created', entity_id, payload }];

const VALUES: [what: string, columns: string, values: string, id: string, payload: unknown][] = [
  ['an enum', 'id int, x app.state', `1, 'low'`, '1', { id: 1, x: 'low' }],
  ['an enum as the id', `id app.state, x int`, `'low', 2`, 'low', { id: 'low', x: 2 }],
  ['an array of an enum', 'id int, x app.state[]', `1, '{low,NULL,high}'`, '1', { id: 1, x: ['low', null, 'high'] }],
  ['a domain over an enum', 'id int, x app.level', `1, 'low'`, '1', { id: 1, x: 'low' }],
  ['an array of such a domain', 'id int, x app.level[]', `1, '{high}'`, '1', { id: 1, x: ['high'] }],
  ['a domain with a CHECK', 'id int, x app.checked', `1, 'x'`, '1', { id: 1, x: 'x' }],
  ['a range over an enum', 'id int, x app.span', `1, '[low,high]'`, '1', { id: 1, x: '[low,high]' }],
  ['an array of a domain as the id', 'id app.checked[], x int', `'{x}', 2`, '{x}', { id: ['x'], x: 2 }],
  ['a generated column', `id int, x text GENERATED ALWAYS AS ('low') STORED`, '1', '1', { id: 1, x: 'low' }],
];
const MORE_TYPES = `
  CREATE DOMAIN app.level AS app.state;
  CREATE DOMAIN app.checked AS text CHECK (app.yes(VALUE));
  CREATE TYPE app.span AS RANGE (subtype = app.state);
  CREATE FUNCTION app.array_to_text(app.checked[]) RETURNS text LANGUAGE plpgsql AS $$ BEGIN PERFORM app.attack(); RETURN 'forged'; END $$;
  CREATE CAST (app.checked[] AS text) WITH FUNCTION app.array_to_text(app.checked[]) AS IMPLICIT`;

test.each(VALUES)('%s is told as it prints, with no cast of its owner', async (...[, columns, values, id, payload]) => {
  await attacker.query(`${CASTS}; ${MORE_TYPES}`);
  await table(columns);
  await capture(`, columns => '{x}'`);
  await write(values);
  expect(await events()).toEqual(created(id, payload));
});

test('a cast that is made after capture changes nothing', async () => {
  await table('id app.state, x app.state');
  await capture(`, columns => '{x}', changed_only => true, condition => 'old.x IS NULL OR new.x::text <> old.x'`);
  await attacker.query(CASTS);
  await write(`'low', 'low'`);
  await attacker.query(`UPDATE app.jobs SET x = 'high'; DELETE FROM app.jobs`);
  expect(await events()).toEqual([
    ...created('low', { id: 'low', x: 'low' }),
    { event_type: 'job.updated', entity_id: 'low', payload: { id: 'low', x: 'high' } },
  ]);
});

test.each([
  ['a statement', ''],
  ['each row', 'CREATE TRIGGER none AFTER INSERT ON app.jobs FOR EACH ROW EXECUTE FUNCTION app.none()'],
])('domains are compared without their checks, casts and operators: changed_only, %s', async (_, trigger) => {
  await attacker.query(`${CASTS}; ${MORE_TYPES};
    CREATE FUNCTION app.none() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
    CREATE DOMAIN app.inner AS app.checked CHECK (app.yes(VALUE));
    CREATE DOMAIN app.number AS int CHECK (app.yes(VALUE::text));
    CREATE DOMAIN app.list AS app.checked[] CHECK (app.yes(VALUE[1]));
    CREATE FUNCTION app.differ(app.checked, app.checked) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM app.attack(); RETURN true; END $$;
    CREATE FUNCTION app.differ(app.state, app.state) RETURNS boolean LANGUAGE plpgsql AS $$ BEGIN PERFORM app.attack(); RETURN true; END $$;
    CREATE OPERATOR app.<> (LEFTARG = app.checked, RIGHTARG = app.checked, FUNCTION = app.differ);
    CREATE OPERATOR app.= (LEFTARG = app.state, RIGHTARG = app.state, FUNCTION = app.differ);
    CREATE OPERATOR app.<> (LEFTARG = app.state, RIGHTARG = app.state, FUNCTION = app.differ)`);
  await table('id app.number, a app.checked, b app.inner, c app.list, d app.level');
  await attacker.query(trigger);
  await capture(`, columns => '{a,b,c,d}', changed_only => true, operations => '{update}'`);
  await write(`1, 'x', 'y', '{z}', 'low'`);
  await attacker.query(
    `UPDATE app.jobs SET a = 'X', d = 'high'; UPDATE app.jobs SET a = a; UPDATE app.jobs SET id = 2, b = NULL`,
  );
  expect(await told()).toEqual([
    { event_type: 'job.updated', payload: { id: 1, a: 'X', d: 'high' } },
    { event_type: 'job.updated', payload: { id: 2, a: 'X', c: ['z'], d: 'high' } },
  ]);
});

test.each(['app.pair', 'app.pair[]', 'app.ran_as'])('a column of the type %s is refused', async (type) => {
  await attacker.query(CASTS);
  await table(`id int, x ${type}`);
  await expect(capture(`, columns => '{x}'`)).rejects.toMatchObject({
    code: '22023',
    message: expect.stringContaining(`column x has the type ${type}`) as string,
  });
  await capture();
  await write('1');
  expect(await events()).toEqual(created('1', { id: 1 }));
});

test('a composite of the owner of walpost is told as an object, until it holds a type of somebody else', async () => {
  await database.query(`CREATE TYPE public.money AS (amount numeric, currency text)`);
  await table('id int, x public.money');
  await capture(`, columns => '{x}'`);
  await write(`1, '(1.50,EUR)'`);
  expect(await events()).toEqual(created('1', { id: 1, x: { amount: 1.5, currency: 'EUR' } }));
  await database.query(`ALTER TYPE public.money ADD ATTRIBUTE state app.state`);
  await attacker.query(CASTS);
  await expect(write(`1, '(1.50,EUR,low)'`)).rejects.toMatchObject({ code: '55000' });
});

test.each([
  ['id', 'app.state', `CASE WHEN id > 0 THEN 'low'::app.state END`],
  ['x', 'app.state', `'low'`],
  ['organization_id', 'app.state', `'low'`],
  ['x', 'app.checked[]', `'{x}'`],
])('a column %s that becomes %s after capture stops the writes, and says how they go on', async (name, type, using) => {
  await attacker.query(`${CASTS}; ${MORE_TYPES}`);
  await table('id int, x int');
  await capture(`, columns => '{x}', changed_only => true, condition => 'new.x IS DISTINCT FROM old.x'`);
  await write('1, 1');
  await attacker.query(`ALTER TABLE app.jobs ALTER COLUMN ${name} TYPE ${type} USING ${using}`);
  const change = attacker.query(`UPDATE app.jobs SET x = NULL`);
  await expect(change).rejects.toMatchObject({
    code: '55000',
    message: `walpost captures app.jobs, and its column ${name} is of another type now: ${type}`,
    hint: expect.stringContaining(`walpost.capture('app.jobs', ...)`) as string,
  });
  if (name === 'organization_id') return void (await database.query(`SELECT walpost.release('app.jobs')`));
  await capture(`, columns => '{x}'`);
  await attacker.query(`UPDATE app.jobs SET x = NULL`);
});

test('a column that becomes another type of the server goes on', async () => {
  await table('id int, x varchar');
  await capture(`, columns => '{x}'`);
  await attacker.query(
    'ALTER TABLE app.jobs ALTER COLUMN id TYPE bigint, ALTER COLUMN x TYPE text; ALTER TABLE app.jobs RENAME TO renamed',
  );
  await attacker.query(`INSERT INTO app.renamed VALUES ('${organization}', 5, 'y')`);
  expect(await events()).toEqual(created('5', { id: 5, x: 'y' }));
});

test.each([
  ['app.yes(new.x)', 'function app.yes(text)'],
  [`new.x OPERATOR(app.===) 'y'`, 'operator app.===(text,text)'],
  [`new.x::app.checked = 'y'`, 'app.checked'],
  ['EXISTS (SELECT FROM app.secured)', 'table app.secured'],
  ['EXISTS (SELECT FROM app.seen)', 'table app.seen'],
  ['public.fine(new.x)', 'function public.fine(text)'],
])('condition => %s is refused', async (condition, what) => {
  await attacker.query(`${MORE_TYPES};
    CREATE TABLE app.secured (a text);
    ALTER TABLE app.secured ENABLE ROW LEVEL SECURITY;
    CREATE POLICY all_rows ON app.secured USING (app.yes(a));
    CREATE VIEW app.seen AS SELECT FROM app.secured WHERE app.yes(a)`);
  // A function of the owner, where the attacker could put a better match beside it.
  await database.query(`CREATE FUNCTION public.fine(text) RETURNS boolean LANGUAGE sql RETURN true;
                        GRANT CREATE ON SCHEMA public TO ${role.name}`);
  await table('id int, x text');
  await expect(
    database.query(`SELECT walpost.capture('app.jobs', 'job', condition => $1)`, [condition]),
  ).rejects.toMatchObject({ code: '22023', message: expect.stringContaining(what) as string });
  await write(`1, 'y'`);
  expect(await events()).toEqual([]);
});

test('condition may use functions and tables of the owner of walpost', async () => {
  await database.query(`CREATE SCHEMA ours;
    CREATE FUNCTION ours.wanted(text) RETURNS boolean LANGUAGE sql RETURN $1 = 'y';
    CREATE TABLE ours.plans (organization_id uuid);
    INSERT INTO ours.plans VALUES ('${organization}')`);
  await table('id int, x text');
  const condition =
    'ours.wanted(new.x) AND EXISTS (SELECT FROM ours.plans p WHERE p.organization_id = new.organization_id)';
  await database.query(`SELECT walpost.capture('app.jobs', 'job', condition => $1)`, [condition]);
  await write(`1, 'y'`);
  await write(`2, 'n'`);
  expect(await events()).toEqual(created('1', { id: 1 }));
});

test('condition that takes rows as a whole sees every column, each as it prints', async () => {
  await table('id int, x app.state, y text');
  await attacker.query(CASTS);
  await capture(`, condition => 'to_jsonb(new) ->> ''x'' = ''low'' AND to_jsonb(new) ? ''y'''`);
  await write(`1, 'low', 'z'`);
  await write(`2, 'high', 'z'`);
  expect(await events()).toEqual(created('1', { id: 1 }));
});

const NO_TRIGGER = '';
const ROW_TRIGGER = `
  CREATE FUNCTION app.nothing() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$;
  CREATE TRIGGER nothing AFTER INSERT ON app.jobs FOR EACH ROW EXECUTE FUNCTION app.nothing()`;
const WHOLE_ROWS = `to_jsonb(new) - ''updated_at'' IS DISTINCT FROM to_jsonb(old) - ''updated_at''`;
const told = () => database.query('SELECT event_type, payload FROM walpost.outbox ORDER BY seq');

test.each([
  ['a statement', NO_TRIGGER],
  ['each row', ROW_TRIGGER],
])('condition that takes rows as a whole does not see a column that is added later: %s', async (_, trigger) => {
  await table('id int, x text');
  await attacker.query(trigger);
  await capture(`, columns => '{x}', condition => '${WHOLE_ROWS}'`);
  await attacker.query(`${CASTS}; ALTER TABLE app.jobs ADD y app.state DEFAULT 'low'`);
  await write(`1, 'a'`);
  await attacker.query(`UPDATE app.jobs SET y = 'high'; UPDATE app.jobs SET x = 'b'; DELETE FROM app.jobs`);
  expect(await told()).toEqual([
    { event_type: 'job.created', payload: { id: 1, x: 'a' } },
    { event_type: 'job.updated', payload: { id: 1, x: 'b' } },
    { event_type: 'job.deleted', payload: { id: 1, x: 'b' } },
  ]);
});

test.each([
  ['a statement', NO_TRIGGER],
  ['each row', ROW_TRIGGER],
])('condition that takes rows as a whole does not see a column of a type that is refused: %s', async (_, trigger) => {
  await attacker.query(CASTS);
  await table('id int, x text, y app.pair');
  await attacker.query(trigger);
  await capture(`, changed_only => true, columns => '{x}', condition => '${WHOLE_ROWS}'`);
  await write(`1, 'a', '(1,low)'`);
  await attacker.query(`UPDATE app.jobs SET y = '(2,high)'; UPDATE app.jobs SET x = 'b'; DELETE FROM app.jobs`);
  expect(await told()).toEqual([
    { event_type: 'job.created', payload: { id: 1, x: 'a' } },
    { event_type: 'job.updated', payload: { id: 1, x: 'b' } },
    { event_type: 'job.deleted', payload: { id: 1, x: 'b' } },
  ]);
});

test('policies and objects of a temporary schema do not run at capture', async () => {
  await table('id int, x text');
  await attacker.query(`
    ALTER TABLE app.jobs ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY;
    CREATE FUNCTION app.sly() RETURNS boolean LANGUAGE plpgsql IMMUTABLE AS $$ BEGIN PERFORM app.attack(); RETURN true; END $$;
    CREATE POLICY sly ON app.jobs USING (app.sly())`);
  await capture(`, condition => 'new.x = ''y'''`);
  await attacker.query(
    'CREATE TEMP TABLE new_rows (id int); CREATE DOMAIN pg_temp.uuid AS text CHECK (app.yes(VALUE))',
  );
  await write(`1, 'y'`);
  expect(await events()).toEqual(created('1', { id: 1 }));
});
