/** What migrations and values of the application do to a capture: an error that names walpost, or an event; never silence. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createPool } from '../../src/postgres/pool.ts';
import { CaptureWatch } from '../../src/postgres/schema/captures.ts';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { createRole } from '../support/database-role.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';

const organization = randomUUID();

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await database.query(
    `CREATE SCHEMA app; CREATE TYPE app.state AS ENUM ('low', 'high'); CREATE TYPE app.pair AS (a json, b int)`,
  );
});
afterAll(() => database[Symbol.asyncDispose]());

const table = (name: string, columns: string) =>
  database.query(
    `CREATE TABLE app.${name} (id int PRIMARY KEY, organization_id uuid DEFAULT '${organization}', ${columns})`,
  );
const capture = (name: string, more = '') => database.query(`SELECT walpost.capture('app.${name}', '${name}'${more})`);
const events = async (name: string): Promise<unknown[]> => {
  const rows = await database.query<{ event_type: string; payload: unknown }>(
    'SELECT event_type, payload FROM walpost.outbox WHERE entity_type = $1 ORDER BY seq',
    [name],
  );
  return rows.map(({ event_type, payload }) => [event_type, payload]);
};
const problem = async (name: string): Promise<unknown> =>
  (
    await database.query<{ problem: unknown }>('SELECT problem FROM walpost.captures WHERE table_name = $1', [
      `app.${name}`,
    ])
  )[0]?.problem;

test.each([
  ['renamed', 'RENAME COLUMN status TO state', 'its column status is called state now'],
  ['dropped', 'DROP COLUMN status', 'its column status was dropped'],
  [
    'retyped',
    `ALTER COLUMN organization_id DROP DEFAULT, ALTER COLUMN organization_id TYPE int USING 1`,
    'its column organization_id is of another type now: integer',
  ],
  ['renamed_id', 'RENAME COLUMN id TO number', 'its column id is called number now'],
])(
  'a column that is %s stops the writes with an error that names walpost, until capture is called again',
  async (name, change, said) => {
    await table(name, 'status text, size int');
    await capture(name, `, columns => '{status}'`);
    await database.query(`INSERT INTO app.${name} VALUES (1)`);
    await database.query(`ALTER TABLE app.${name} ${change}`);
    for (const statement of [`UPDATE app.${name} SET size = 1`, `DELETE FROM app.${name}`]) {
      await expect(database.query(statement)).rejects.toMatchObject({
        code: '55000',
        message: `walpost captures app.${name}, and ${said}`,
        hint: expect.stringContaining(`walpost.capture('app.${name}', ...)`) as string,
      });
    }
    expect(await problem(name)).toBe(said);
    await database.query(`SELECT walpost.release('app.${name}')`);
    await database.query(`UPDATE app.${name} SET size = 1`);
    expect(await events(name)).toHaveLength(1);
  },
);

test('a column that is dropped and made again fits, and so does a table that is renamed and moved', async () => {
  await table('again', 'status text, other int');
  await capture('again', `, columns => '{status}', condition => 'new.status IS NOT NULL OR old.status IS NOT NULL'`);
  await database.query(`
    ALTER TABLE app.again DROP COLUMN status; ALTER TABLE app.again ADD COLUMN status varchar(9), DROP COLUMN other;
    CREATE SCHEMA elsewhere; ALTER TABLE app.again SET SCHEMA elsewhere; ALTER TABLE elsewhere.again RENAME TO moved;
    INSERT INTO elsewhere.moved (id, status) VALUES (1, 'a'); DELETE FROM elsewhere.moved`);
  expect(await events('again')).toEqual([
    ['again.created', { id: 1, status: 'a' }],
    ['again.deleted', { id: 1, status: 'a' }],
  ]);
  expect(await database.query(`SELECT table_name, fits FROM walpost.captures WHERE entity_type = 'again'`)).toEqual([
    { table_name: 'elsewhere.moved', fits: true },
  ]);
  await database.query(`SELECT walpost.release('elsewhere.moved')`);
});

test('json that jsonb refuses becomes an event: half a character is replaced, and the rest is told as a text', async () => {
  await table('texts', 'j json, list json[], pair app.pair');
  await capture('texts', `, columns => '{j,list,pair}'`);
  const write = (id: number, json: string) =>
    database.query(`INSERT INTO app.texts (id, j, list, pair) VALUES ($1, $2, ARRAY[$2::json], ROW($2::json, 1))`, [
      id,
      json,
    ]);
  const values: [json: string, told: unknown][] = [
    ['{"a": 1.50}', { a: 1.5 }],
    [String.raw`"\u0000 \\u0000 \\\u0000"`, '\ufffd \\u0000 \\\ufffd'],
    [
      String.raw`["\ud83d", "\ude00", "\ud83d\ude00", "\ud83dx\ude00"]`,
      ['\ufffd', '\ufffd', '\u{1f600}', '\ufffdx\ufffd'],
    ],
    ['1e999999', '1e999999'],
  ];
  for (const [id, [json]] of values.entries()) await write(id, json);
  expect(await events('texts')).toEqual(
    values.map(([, j], id) => [
      'texts.created',
      { id, j, list: expect.anything() as unknown, pair: expect.anything() as unknown },
    ]),
  );
  expect((await events('texts'))[1]).toMatchObject([
    'texts.created',
    { list: ['\ufffd \\u0000 \\\ufffd'], pair: { a: '\ufffd \\u0000 \\\ufffd', b: 1 } },
  ]);
});

test.each([
  ['null_organization', `NULL, 'x'`, '', '23514', 'a row has no organization'],
  ['no_uuid', `'acme', 'x'`, '', '22P02', 'cannot make its events: invalid input syntax for type uuid'],
  ['large', `'${organization}', repeat('x', 1048576)`, '', '23514', 'the payload of a row is larger than 1 MiB'],
  [
    'failing',
    `'${organization}', 'x'`,
    `, condition => 'new.status::int > 1'`,
    '22P02',
    'cannot make its events: invalid input syntax for type integer',
  ],
])(
  '%s: the statement fails, and the error names walpost and the table',
  async (...[name, values, more, code, said]) => {
    await database.query(`CREATE TABLE app.${name} (id int, organization_id text, status text)`);
    await capture(name, `, columns => '{status}'${more}`);
    await expect(database.query(`INSERT INTO app.${name} VALUES (1, ${values})`)).rejects.toMatchObject({
      code,
      message: expect.stringContaining(`walpost captures app.${name}, and ${said}`) as string,
      hint: expect.stringContaining('walpost.release') as string,
    });
    expect(await events(name)).toEqual([]);
  },
);

test.each([
  [`event_prefix => repeat('x', 248)`, 'event_prefix must have 1 to 247 characters'],
  [`event_prefix => ''`, 'event_prefix must have 1 to 247 characters'],
  [`target => repeat('x', 256)`, 'target must have at most 255 characters'],
  [`capture_name => 'Not a name'`, 'capture_name must have'],
  ['organization_column => NULL', 'organization_column must not be null'],
  ['id_column => NULL', 'id_column must not be null'],
  [`columns => '{id,NULL}'`, 'columns must not hold a null'],
  ['operations => NULL', 'operations must be some of insert, update, delete'],
  [`operations => '{insert,NULL}'`, 'operations must be some of insert, update, delete'],
  ['on_truncate => NULL', 'on_truncate must be refuse or ignore'],
  ['capture_name => NULL', 'capture_name must have'],
])('refused: capture(…, %s)', async (more, said) => {
  await database.query('CREATE TABLE IF NOT EXISTS app.plain (id int, organization_id uuid)');
  await expect(capture('plain', `, ${more}`)).rejects.toMatchObject({
    code: '22023',
    message: expect.stringContaining(said) as string,
  });
});

test.each([
  [`NULL, 'plain'`, 'table_name must not be null'],
  [`'app.plain', NULL`, 'entity_type must have 1 to 240 characters'],
])('refused: capture(%s)', async (given, said) => {
  await database.query('CREATE TABLE IF NOT EXISTS app.plain (id int, organization_id uuid)');
  await expect(database.query(`SELECT walpost.capture(${given})`)).rejects.toMatchObject({
    code: '22023',
    message: `walpost.capture: ${said}`,
  });
});

test.each([
  ['columns', []],
  ['event_prefix', 'nothing'],
  ['condition', null],
  ['topic', 'default'],
  ['target', null],
  ['changed_only', false],
])('capture(…, %s => NULL) is its default', async (name, value) => {
  await database.query('CREATE TABLE IF NOT EXISTS app.nothing (id int, organization_id uuid)');
  await capture('nothing', `, ${name} => NULL`);
  expect(await database.query(`SELECT ${name}, fits FROM walpost.captures WHERE table_name = 'app.nothing'`)).toEqual([
    { [name]: value, fits: true },
  ]);
  await database.query(`INSERT INTO app.nothing VALUES (1, '${organization}'); UPDATE app.nothing SET id = 2`);
  expect((await events('nothing')).slice(-2)).toEqual([
    ['nothing.created', { id: 1 }],
    ['nothing.updated', { id: 2 }],
  ]);
  await database.query('DROP TABLE app.nothing');
});

test('two captures of one table write their events beside each other, are listed, and go one by one', async () => {
  await table('orders', 'status text, total numeric');
  await capture('orders');
  await capture(
    'orders',
    `, capture_name => 'money', event_prefix => 'money', columns => '{total}', operations => '{update}', changed_only => true`,
  );
  await database.query(`INSERT INTO app.orders (id, total) VALUES (1, 5); UPDATE app.orders SET total = 6`);
  expect(await events('orders')).toEqual([
    ['orders.created', { id: 1 }],
    ['money.updated', { id: 1, total: 6 }],
    ['orders.updated', { id: 1 }],
  ]);
  const listed = () =>
    database.query(
      `SELECT capture_name, event_prefix, operations, columns, changed_only, fits FROM walpost.captures WHERE table_name = 'app.orders'`,
    );
  const money = {
    capture_name: 'money',
    event_prefix: 'money',
    operations: ['update'],
    columns: ['total'],
    changed_only: true,
    fits: true,
  };
  expect(await listed()).toEqual([
    {
      capture_name: '',
      event_prefix: 'orders',
      operations: ['insert', 'update', 'delete'],
      columns: [],
      changed_only: false,
      fits: true,
    },
    money,
  ]);
  await capture('orders', `, operations => '{delete}'`);
  expect(await database.query(`SELECT walpost.release('app.orders', '') AS n`)).toEqual([{ n: 2 }]);
  expect(await listed()).toEqual([money]);
  await capture('orders');
  expect(await database.query(`SELECT walpost.release('app.orders') AS n`)).toEqual([{ n: 5 }]);
  expect(await listed()).toEqual([]);
});

test('tables with long names of several bytes a letter have captures of their own, also beside each other', async () => {
  const letters = '\u6ce8'.repeat(20);
  for (const name of [`${letters}\u4e00`, `${letters}\u4e8c`]) {
    await table(name, 'x int');
    await database.query(`SELECT walpost.capture($1::regclass, 'long')`, [`app.${name}`]);
    await database.query(`SELECT walpost.capture($1::regclass, 'long', capture_name => 'another_name', topic => 'b')`, [
      `app.${name}`,
    ]);
    await database.query(`INSERT INTO app.${name} (id) VALUES (1)`);
  }
  expect(await events('long')).toHaveLength(4);
  const functions = await database.query<{ name: string; its: boolean }>(
    `SELECT DISTINCT p.proname::text AS name, starts_with(p.proname::text, 'capture_' || t.tgrelid) AS its
       FROM pg_trigger AS t JOIN pg_proc AS p ON p.oid = t.tgfoid WHERE p.proname LIKE 'capture%${letters.slice(0, 3)}%'`,
  );
  expect(functions.map(({ its }) => its)).toEqual([true, true, true, true]);
});

test('the owner of a captured table with triggers for each row adds partitions to it', async () => {
  await using owner = await createRole(database);
  await using later = await createRole(database);
  await database.query(`
    CREATE SCHEMA parts AUTHORIZATION ${owner.name}; GRANT ALL ON SCHEMA parts TO ${later.name}`);
  const client = await owner.client();
  await client.query(`
    CREATE TABLE parts.jobs (id int, organization_id uuid DEFAULT '${organization}', status text) PARTITION BY LIST (id);
    CREATE TABLE parts.jobs_1 PARTITION OF parts.jobs FOR VALUES IN (1);
    CREATE FUNCTION parts.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER nothing AFTER INSERT ON parts.jobs FOR EACH ROW EXECUTE FUNCTION parts.nothing()`);
  await database.query(`SELECT walpost.capture('parts.jobs', 'part', columns => '{status}')`);
  await client.query(`
    CREATE TABLE parts.jobs_2 PARTITION OF parts.jobs FOR VALUES IN (2);
    CREATE TABLE parts.jobs_3 (LIKE parts.jobs); ALTER TABLE parts.jobs ATTACH PARTITION parts.jobs_3 FOR VALUES IN (3);
    INSERT INTO parts.jobs (id) VALUES (1), (2), (3)`);
  expect(await events('part')).toHaveLength(3);
  const asked = client.query('SELECT walpost_internal.capture_columns(NULL, NULL, NULL)');
  await expect(asked).rejects.toMatchObject({ code: '42501', message: expect.stringContaining('schema') as string });

  const deviations = () => database.query(`SELECT what FROM walpost.deviations() WHERE what LIKE '%.capture_%'`);
  expect(await deviations()).toEqual([]);
  await database.query(
    `ALTER TABLE parts.jobs OWNER TO ${later.name}; ALTER FUNCTION parts.nothing OWNER TO ${later.name}`,
  );
  expect(await deviations()).toEqual([
    { what: expect.stringContaining(`role ${owner.name} holds EXECUTE on walpost_internal.capture_`) as string },
    { what: expect.stringContaining(`role ${later.name} lacks EXECUTE on walpost_internal.capture_`) as string },
  ]);
  await migrate(database.url);
  expect(await deviations()).toEqual([]);
  await (await later.client()).query('CREATE TABLE parts.jobs_4 PARTITION OF parts.jobs FOR VALUES IN (4)');

  await database.query('ALTER TABLE parts.jobs RENAME COLUMN status TO state');
  await expect(database.query('INSERT INTO parts.jobs_2 (id) VALUES (2)')).rejects.toMatchObject({
    message: 'walpost captures parts.jobs, and its column status is called state now',
    hint: expect.stringContaining(`SELECT walpost.release('parts.jobs')`) as string,
  });
  await database.query('DROP TABLE parts.jobs');
});

test('walpost.captures says what keeps a capture from working; migrate and run say it too', async () => {
  await database.query(`SELECT walpost.release(table_name::regclass) FROM walpost.captures`);
  const names = ['disabled', 'missing', 'attached', 'triggered', 'fine'];
  for (const name of names) {
    await table(name, 'x int');
    await capture(name);
  }
  await database.query(`
    ALTER TABLE app.disabled DISABLE TRIGGER ALL;
    DROP TRIGGER "!walpost_capture_update" ON app.missing;
    CREATE TABLE app.whole (LIKE app.attached) PARTITION BY LIST (id);
    ALTER TABLE app.whole ATTACH PARTITION app.attached DEFAULT;
    CREATE FUNCTION app.later() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER later AFTER INSERT ON app.triggered FOR EACH ROW EXECUTE FUNCTION app.later()`);
  const problems = [
    'walpost captures app.attached, and it is a part of app.whole now, whose statements are not told',
    'walpost captures app.disabled, and its trigger "!walpost_capture_delete" is disabled',
    'walpost captures app.missing, and its trigger for update is missing',
    'walpost captures app.triggered, and the trigger later fires for each row, before the events of a statement are written',
  ];
  const notices: string[] = [];
  await migrate(database.url, { onNotice: (text) => notices.push(text) });
  expect(notices).toEqual(
    problems.map(
      (line) =>
        expect.stringMatching(new RegExp(`^${line.replaceAll(/[.()]/g, String.raw`\$&`)}\\. As the owner`)) as string,
    ),
  );

  await using relay = await createRole(database, { in: ['walpost_relay'] });
  const pool = createPool(relay.url, { applicationName: 'test', max: 1 });
  const watch = new CaptureWatch();
  const warned: string[] = [];
  for (const _ of [1, 2]) await watch.check(pool, (line) => warned.push(line));
  await pool.end();
  expect(warned).toEqual(problems);

  await capture('triggered');
  expect(await problem('triggered')).toBeNull();
});
