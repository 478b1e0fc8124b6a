/**
 * Columns of domain types with changed_only. Old and new values are compared as they are stored: a cast to the type below a domain, or
 * an operator of a type, would be code of others that runs with the rights of walpost.
 */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

const organization = randomUUID();

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await database.query(`
    CREATE SCHEMA app;
    CREATE DOMAIN app.email AS text CHECK (VALUE ~ '@');
    CREATE DOMAIN app.work_email AS app.email CHECK (VALUE <> '');
    CREATE DOMAIN app.code AS varchar(5);
    CREATE DOMAIN app.size AS int NOT NULL;
    CREATE DOMAIN app.tags AS text[];
    CREATE DOMAIN app.document AS json;
    CREATE DOMAIN app.notes AS jsonb;
    CREATE TYPE app.pair AS (a int, b app.email);
    CREATE DOMAIN app.place AS app.pair;
    CREATE DOMAIN app.far_place AS app.place;
    CREATE TYPE app.mood AS ENUM ('low', 'high');
    CREATE DOMAIN app.state AS app.mood;
    CREATE FUNCTION app.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'`);
});
afterAll(() => database[Symbol.asyncDispose]());

/** A type, two values of it as SQL and as they arrive, and whether it takes null. */
const TYPES: [type: string, first: [sql: string, told: unknown], second: [sql: string, told: unknown]][] = [
  ['text', [`'a'`, 'a'], [`'b'`, 'b']],
  ['app.email', [`'a@x'`, 'a@x'], [`'b@x'`, 'b@x']],
  ['app.work_email', [`'a@x'`, 'a@x'], [`'b@x'`, 'b@x']],
  ['app.code', [`'a'`, 'a'], [`'A'`, 'A']],
  ['app.tags', [`'{a}'`, ['a']], [`'{a,NULL}'`, ['a', null]]],
  ['app.email[]', [`'{a@x}'`, ['a@x']], [`'{b@x}'`, ['b@x']]],
  ['app.document', [`'{"a": 1}'`, { a: 1 }], [`'{"a": 2}'`, { a: 2 }]],
  ['app.notes', [`'{"a": 1}'`, { a: 1 }], [`'{"a": 2}'`, { a: 2 }]],
  ['app.place', [`'(1,a@x)'`, { a: 1, b: 'a@x' }], [`'(1,b@x)'`, { a: 1, b: 'b@x' }]],
  ['app.far_place', [`'(,)'`, { a: null, b: null }], [`'(1,)'`, { a: 1, b: null }]],
  ['app.place[]', [`'{"(1,a@x)"}'`, [{ a: 1, b: 'a@x' }]], [`'{}'`, []]],
  ['app.state', [`'low'`, 'low'], [`'high'`, 'high']],
];
const KEYS: [type: string, ids: [unknown, unknown, unknown]][] = [
  ['int', [1, 5, 6]],
  ['app.size', [1, 5, 6]],
  ['app.work_email', ['1@x', '5@x', '6@x']],
];
const ROW_TRIGGER = 'CREATE TRIGGER nothing AFTER INSERT ON app.t FOR EACH ROW EXECUTE FUNCTION app.nothing();';

const CASES = TYPES.flatMap(([type, ...values]) =>
  (['app.email', 'app.place'].includes(type) ? KEYS : KEYS.slice(0, 1)).flatMap(([key, ids]) =>
    ['a statement', 'each row'].map((each) => [type, key, each, ids, values] as const),
  ),
);

const told = async (name = 't'): Promise<unknown[]> =>
  (
    await database.query<{ payload: unknown }>(
      'WITH gone AS (DELETE FROM walpost.outbox WHERE entity_type = $1 RETURNING *) SELECT payload FROM gone ORDER BY seq',
      [name],
    )
  ).map(({ payload }) => payload);

test.each(CASES)(
  'changed_only: %s with an id of %s, for %s',
  async (...[type, key, each, [id, next, last], [a, b]]) => {
    await database.query(
      `DROP TABLE IF EXISTS app.t; CREATE TABLE app.t (id ${key}, organization_id uuid, v ${type});`,
    );
    if (each === 'each row') await database.query(ROW_TRIGGER);
    await database.query(
      `SELECT walpost.capture('app.t', 't', columns => '{v}', changed_only => true, operations => '{update}')`,
    );
    await database.query(`INSERT INTO app.t VALUES ('${String(id)}', '${organization}', ${a[0]})`);
    for (const change of [
      `v = ${b[0]}`,
      'v = v',
      `id = '${String(next)}'`,
      'v = NULL',
      `id = '${String(last)}'`,
      `v = ${a[0]}`,
      `v = NULL, id = '${String(id)}'`,
      `v = ${b[0]}, id = '${String(next)}'`,
    ]) {
      await database.query(`UPDATE app.t SET ${change}`);
    }
    expect(await told()).toEqual([
      { id, v: b[1] },
      { id: next, v: b[1] }, // under another id nothing has been told yet
      { id: next, v: null },
      { id: last },
      { id: last, v: a[1] },
      { id },
      { id: next, v: b[1] },
    ]);
  },
);

test('a domain that takes no null, several columns, a condition on both rows, and more rows than a plan is kept for', async () => {
  await database.query(`
    CREATE TABLE app.many (id app.size, organization_id uuid, email app.email, size app.size, tags app.tags);
    SELECT walpost.capture('app.many', 'many', columns => '{email,size,tags}', changed_only => true,
                           condition => 'old.size IS DISTINCT FROM new.size OR old.email IS DISTINCT FROM new.email');
    INSERT INTO app.many SELECT n, '${organization}', n || '@x', 0, '{}' FROM generate_series(1, 150) AS n`);
  await told('many');
  await database.query(`UPDATE app.many SET size = size + 1, tags = tags WHERE id = 7`);
  await database.query(`UPDATE app.many SET tags = '{x}' WHERE id = 7`);
  expect(await told('many')).toEqual([{ id: 7, size: 1 }]);
  await database.query(
    `UPDATE app.many SET email = CASE WHEN id <= 120 THEN 'y@x' ELSE email END, size = size, tags = NULL`,
  );
  const payloads = await told('many');
  expect(payloads).toHaveLength(120);
  expect(payloads[0]).toEqual({ id: 1, email: 'y@x', tags: null });
});

/** The function that made payloads before domains were thought of. */
const OLDER = `ROW(new.%1$I)::record *<> ROW(CASE WHEN ROW(new.%2$I)::record *= ROW(old.%2$I)::record THEN old.%1$I END)::record`;
const NEWER = `CASE WHEN ROW(new.%2$I)::record *= ROW(old.%2$I)::record THEN ROW(new.%1$I)::record *<> ROW(old.%1$I)::record ELSE num_nonnulls(new.%1$I) = 1 END`;

test('migrate makes the trigger functions of captures again that an older release has made, and leaves their triggers', async () => {
  await using own = await createTestDatabase();
  const [{ sql } = { sql: '' }] = await own.query<{ sql: string }>(
    `SELECT pg_get_functiondef('walpost_internal.capture_payload'::regproc) AS sql`,
  );
  expect(sql).toContain(NEWER);
  await own.query(sql.replace(NEWER, () => OLDER));
  await own.query(`
    CREATE SCHEMA app; CREATE DOMAIN app.email AS text; CREATE TYPE app.mood AS ENUM ('low', 'high');
    CREATE TABLE app.people (id int, organization_id uuid DEFAULT '${organization}', email app.email);
    CREATE TABLE app.other (LIKE app.people INCLUDING DEFAULTS);
    CREATE TABLE app.moods (id int, organization_id uuid DEFAULT '${organization}', mood app.mood);
    SELECT walpost.capture('app.people', 'person', columns => '{email}', changed_only => true),
           walpost.capture('app.people', 'person', columns => '{email}', capture_name => 'whole', operations => '{delete}'),
           walpost.capture('app.other', 'other', columns => '{email}', operations => '{insert}'),
           walpost.capture('app.moods', 'mood', columns => '{mood}', changed_only => true);
    ALTER TABLE app.moods ALTER COLUMN mood TYPE int USING 1;
    ALTER TABLE app.people RENAME TO persons;
    INSERT INTO app.persons (id, email) VALUES (1, 'a')`);
  const change = () => own.query(`UPDATE app.persons SET email = email || 'x'`);
  await expect(change()).rejects.toMatchObject({
    code: '42804',
    hint: expect.stringContaining('walpost.capture') as string,
  });

  const captures = () =>
    own.query(`SELECT p.oid, p.proname, p.proacl, p.proowner, t.oid AS trigger
                 FROM pg_proc AS p JOIN pg_trigger AS t ON t.tgfoid = p.oid WHERE p.proname LIKE 'capture\\_%' ORDER BY t.oid`);
  const versions = () =>
    own.query<{ name: string; version: string }>(
      `SELECT proname::text AS name, xmin::text AS version FROM pg_proc WHERE proname LIKE 'capture\\_%\\_%' AND prorettype = 'trigger'::regtype ORDER BY oid`,
    );
  const [before, made] = [await captures(), await versions()];
  await own.query(`UPDATE walpost.repeatables SET checksum = '' WHERE name LIKE '%capture_sql%'`); // as a new release finds it
  await migrate(own.url);
  await change();
  expect(await own.query(`SELECT payload FROM walpost.outbox WHERE event_type = 'person.updated'`)).toEqual([
    { payload: { id: 1, email: 'ax' } },
  ]);
  expect(await captures()).toEqual(before);
  const replaced = (await versions()).filter(({ version }, n) => version !== made[n]?.version);
  expect(replaced.map(({ name }) => name)).toEqual([expect.stringMatching(/people$/)]);
  expect(await own.query('SELECT what FROM walpost.deviations()')).toEqual([]);
});

test('a trigger function that is not as it was made is a deviation, which migrate mends and names', async () => {
  await using own = await createTestDatabase();
  await own.query(`
    CREATE TABLE public.jobs (id int, organization_id uuid DEFAULT '${organization}', status text, more json);
    SELECT walpost.capture('public.jobs', 'job', columns => '{status,more}', operations => '{insert}')`);
  const deviations = () => own.query('SELECT what FROM walpost.deviations()');
  // Columns in another order, and of another type that is taken in the same way, are no reason to make it again.
  await own.query(`
    ALTER TABLE public.jobs ADD again text; ALTER TABLE public.jobs DROP status; ALTER TABLE public.jobs RENAME again TO status;
    ALTER TABLE public.jobs ALTER id TYPE bigint`);
  expect(await deviations()).toEqual([]);

  await own.query('ALTER TABLE public.jobs ALTER status TYPE json USING to_json(status)');
  const what = 'the trigger function of public.jobs is not as walpost.capture makes it';
  expect(await deviations()).toEqual([{ what }]);
  const mended: string[] = [];
  await migrate(own.url, { onMended: (line) => mended.push(line) });
  expect(mended).toEqual([what]);
  await own.query(String.raw`INSERT INTO public.jobs (id, status) VALUES (1, '"\u0000"')`);
  expect(await own.query('SELECT payload FROM walpost.outbox')).toEqual([
    { payload: { id: 1, status: '\ufffd', more: null } },
  ]);
});
