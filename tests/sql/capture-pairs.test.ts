/** Old and new rows of an update, whatever the keys of the table are and whatever the statement does to them. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { type PostgresMajor, startServer } from '../support/server.ts';

const [first, second] = [randomUUID(), randomUUID()];

let database: TestDatabase;
beforeAll(async () => {
  database = await createTestDatabase();
  await database.query('CREATE SCHEMA app');
});
afterAll(() => database[Symbol.asyncDispose]());

type Told = [type: string, id: string, payload: unknown];

async function taken(of: TestDatabase = database): Promise<Told[]> {
  const rows = await of.query<{ event_type: string; entity_id: string; payload: unknown }>(
    'WITH gone AS (DELETE FROM walpost.outbox RETURNING *) SELECT * FROM gone ORDER BY seq',
  );
  return rows.map(({ event_type, entity_id, payload }) => [event_type, entity_id, payload]);
}

test('an id that is unique in its organization only: each row that changed is told once, and no other organization', async () => {
  await database.query(`
    CREATE TABLE app.invoices (organization_id uuid, number int, status text, PRIMARY KEY (organization_id, number));
    INSERT INTO app.invoices SELECT organization, n, 'new' FROM unnest('{${first},${second}}'::uuid[]) AS organization, generate_series(1, 200) AS n;
    SELECT walpost.capture('app.invoices', 'invoice', id_column => 'number', columns => '{status}',
                           condition => 'new.status IS DISTINCT FROM old.status');
    UPDATE app.invoices SET status = CASE WHEN organization_id = '${first}' THEN 'paid' ELSE status END WHERE number <= 100`);
  const organizations = await database.query(
    'SELECT organization_id AS id, count(*)::int AS n FROM walpost.outbox GROUP BY 1',
  );
  expect(organizations).toEqual([{ id: first, n: 100 }]);
  expect((await taken()).map(([, id]) => Number(id))).toEqual(Array.from({ length: 100 }, (_, n) => n + 1));
});

test('a statement of many rows after statements of few in the same session', async () => {
  await database.query(`
    CREATE TABLE app.many (id int PRIMARY KEY, organization_id uuid DEFAULT '${first}', status text);
    INSERT INTO app.many SELECT n, '${first}', 'a' FROM generate_series(1, 30000) AS n`);
  await database.query(`SELECT walpost.capture('app.many', 'many', changed_only => true, columns => '{status}')`);
  const client = await database.client();
  await client.query(`SET statement_timeout = '30s'`);
  for (let id = 1; id <= 10; id++) await client.query(`UPDATE app.many SET status = 'b' WHERE id = ${id}`);
  await client.query(`UPDATE app.many SET status = 'c'`);
  expect(await taken()).toHaveLength(30_010);
});

test('a table without any key', async () => {
  await database.query(`
    CREATE TABLE app.notes (id int, organization_id uuid DEFAULT '${first}', status text);
    INSERT INTO app.notes (id, status) VALUES (1, 'a'), (1, 'b'), (NULL, 'c');
    SELECT walpost.capture('app.notes', 'note', columns => '{status}', changed_only => true);
    UPDATE app.notes SET status = CASE status WHEN 'b' THEN 'x' WHEN 'c' THEN 'y' ELSE status END`);
  expect(await taken()).toEqual([
    ['note.updated', '1', { id: 1, status: 'x' }],
    ['note.updated', null, { id: null, status: 'y' }],
  ]);
});

const STATUS = `condition => 'old.status = ''a'' AND new.status = ''b'''`;

test('an id that the same statement changes, swaps or shifts', async () => {
  await database.query(`
    CREATE TABLE app.jobs (id int UNIQUE DEFERRABLE, organization_id uuid DEFAULT '${first}', status text);
    INSERT INTO app.jobs (id, status) VALUES (1, 'a'), (2, 'b'), (3, 'a');
    SELECT walpost.capture('app.jobs', 'job', columns => '{status}', operations => '{update}', ${STATUS});
    UPDATE app.jobs SET id = 4 - id, status = 'b'`);
  expect(await taken()).toEqual([
    ['job.updated', '3', { id: 3, status: 'b' }],
    ['job.updated', '1', { id: 1, status: 'b' }],
  ]);
  await database.query(`UPDATE app.jobs SET id = id + 1`);
  expect(await taken()).toEqual([]);
  await database.query(`SELECT walpost.capture('app.jobs', 'job', columns => '{status}', changed_only => true)`);
  await database.query(`UPDATE app.jobs SET id = id + 1, status = CASE id WHEN 2 THEN 'z' ELSE status END`);
  expect((await taken()).toSorted(([, a], [, b]) => Number(a) - Number(b))).toEqual([
    ['job.updated', '3', { id: 3, status: 'z' }],
    ['job.updated', '4', { id: 4, status: 'b' }],
    ['job.updated', '5', { id: 5, status: 'b' }],
  ]);
});

/** Every way in which a statement can update rows: the server's order of the transition tables is none of its documentation. */
const WAYS: [what: string, statement: string][] = [
  ['a join', `UPDATE app.moves AS m SET status = 'b', id = m.id + 100 FROM generate_series(1, 30) AS n WHERE n = m.id`],
  [
    'ON CONFLICT',
    `INSERT INTO app.moves (id, part, status) SELECT id, part, 'c' FROM app.moves ON CONFLICT (id, part) DO UPDATE SET id = moves.id + 100, status = 'b'`,
  ],
  [
    'MERGE',
    `MERGE INTO app.moves AS m USING generate_series(1, 30) AS n ON n = m.id WHEN MATCHED AND n % 3 = 0 THEN DELETE WHEN MATCHED THEN UPDATE SET id = n + 100, status = 'b'`,
  ],
  [
    'two in one statement',
    `WITH one AS (UPDATE app.moves SET id = id + 100, status = 'b' WHERE id <= 15 RETURNING id) UPDATE app.moves SET id = id + 100, status = 'b' WHERE id BETWEEN 16 AND 30 AND (SELECT count(*) FROM one) > 0`,
  ],
];

test.each<PostgresMajor>(['15', '16', '17', '18'])(
  'Postgres %s pairs the rows of every kind of statement',
  { timeout: 180_000 },
  async (version) => {
    await using server = await startServer(version);
    await using other = await createTestDatabase({ server: server.url() });
    await other.query(`
    CREATE SCHEMA app;
    CREATE TABLE app.moves (id int, part int, organization_id uuid DEFAULT '${first}', status text DEFAULT 'a', before int, PRIMARY KEY (id, part)) PARTITION BY RANGE (part);
    CREATE TABLE app.moves_1 PARTITION OF app.moves FOR VALUES FROM (0) TO (10);
    CREATE TABLE app.moves_2 PARTITION OF app.moves FOR VALUES FROM (10) TO (20);
    CREATE TABLE app.pairs (old int, new int);
    CREATE FUNCTION app.note(a int, b int) RETURNS boolean LANGUAGE sql AS 'INSERT INTO app.pairs VALUES (a, b) RETURNING true';
    SELECT walpost.capture('app.moves', 'move', columns => '{before}', operations => '{update}', condition => 'new.id = old.id + 100')`);
    const moved = [`UPDATE app.moves SET part = 19 - part, id = id + 100, status = 'b'`];
    for (const statement of [...moved, ...WAYS.map(([, sql]) => sql)]) {
      await other.query('TRUNCATE app.moves');
      await other.query(
        'INSERT INTO app.moves (id, part, before) SELECT n, n % 20, n FROM generate_series(1, 30) AS n ORDER BY random()',
      );
      await other.query(statement);
      const [count] = await other.query<{ n: number }>(`SELECT count(*)::int AS n FROM app.moves WHERE status = 'b'`);
      const told = await taken(other);
      expect([statement, told.length]).toEqual([statement, count?.n]);
      expect(told.filter(([, id, payload]) => Number(id) !== (payload as { before: number }).before + 100)).toEqual([]);
    }
  },
);

test('rows that a trigger of a partition leaves out are an error that names walpost', async () => {
  await database.query(`
    CREATE TABLE app.parts (id int, organization_id uuid DEFAULT '${first}', status text) PARTITION BY RANGE (id);
    CREATE TABLE app.parts_1 PARTITION OF app.parts FOR VALUES FROM (0) TO (10);
    CREATE TABLE app.parts_2 PARTITION OF app.parts FOR VALUES FROM (10) TO (20);
    CREATE FUNCTION app.none() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER none BEFORE INSERT ON app.parts_2 FOR EACH ROW EXECUTE FUNCTION app.none();
    INSERT INTO app.parts (id, status) VALUES (1, 'a'), (2, 'a');
    SELECT walpost.capture('app.parts', 'part', changed_only => true, columns => '{status}')`);
  await expect(database.query(`UPDATE app.parts SET id = id + 9 * id % 2 + 8, status = 'b'`)).rejects.toMatchObject({
    code: '55000',
    message: expect.stringMatching(/^walpost captures app.parts, and a trigger has left out rows/) as string,
  });
});

const TOUCH = (when: string, name: string): string => `
  CREATE TABLE app.${name} (id int PRIMARY KEY, organization_id uuid DEFAULT '${first}', status text);
  CREATE FUNCTION app.touch_${name}() RETURNS trigger LANGUAGE plpgsql AS $$
    BEGIN UPDATE app.${name} SET status = status || '+' WHERE status NOT LIKE '%+'; RETURN NULL; END $$;
  CREATE TRIGGER a_touch AFTER INSERT OR UPDATE ON app.${name} ${when} WHEN (pg_trigger_depth() = 0) EXECUTE FUNCTION app.touch_${name}();
  SELECT walpost.capture('app.${name}', 'job', columns => '{status}', changed_only => true)`;

test.each(['FOR EACH ROW', 'FOR EACH STATEMENT'])(
  'a trigger %s of the application that updates the same row is told after what fired it',
  async (when) => {
    const name = when === 'FOR EACH ROW' ? 'touched' : 'touched_once';
    await database.query(TOUCH(when, name));
    await database.query(`INSERT INTO app.${name} VALUES (1, DEFAULT, 'a')`);
    await database.query(`UPDATE app.${name} SET status = 'b'`);
    await database.query(`DELETE FROM app.${name}`);
    expect(await taken()).toEqual([
      ['job.created', '1', { id: 1, status: 'a' }],
      ['job.updated', '1', { id: 1, status: 'a+' }],
      ['job.updated', '1', { id: 1, status: 'b' }],
      ['job.updated', '1', { id: 1, status: 'b+' }],
      ['job.deleted', '1', { id: 1, status: 'b+' }],
    ]);
  },
);

test('row by row: a condition on both rows, types of others, and a partitioned table', async () => {
  await database.query(`
    CREATE TYPE app.state AS ENUM ('low', 'high');
    CREATE TABLE app.rows (id int, organization_id uuid DEFAULT '${first}', state app.state) PARTITION BY LIST (id);
    CREATE TABLE app.rows_1 PARTITION OF app.rows DEFAULT;
    CREATE FUNCTION app.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END';
    CREATE TRIGGER nothing AFTER INSERT ON app.rows FOR EACH ROW EXECUTE FUNCTION app.nothing();
    SELECT walpost.capture('app.rows', 'row', columns => '{state}', condition => 'old.state IS DISTINCT FROM new.state');
    INSERT INTO app.rows (id, state) VALUES (1, 'low'), (2, 'low');
    UPDATE app.rows SET state = CASE id WHEN 1 THEN 'high' ELSE state END;
    DELETE FROM app.rows WHERE id = 2`);
  expect(await taken()).toEqual([
    ['row.created', '1', { id: 1, state: 'low' }],
    ['row.created', '2', { id: 2, state: 'low' }],
    ['row.updated', '1', { id: 1, state: 'high' }],
    ['row.deleted', '2', { id: 2, state: 'low' }],
  ]);
  expect(await database.query(`SELECT per_row, fits FROM walpost.captures WHERE table_name = 'app.rows'`)).toEqual([
    { per_row: true, fits: true },
  ]);
  expect(await database.query(`SELECT walpost.release('app.rows') AS n`)).toEqual([{ n: 4 }]);
});
