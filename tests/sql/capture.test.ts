import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createRole } from '../support/database-role.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';

const [first, second] = [randomUUID(), randomUUID()];

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
  await database.query(`
    CREATE SCHEMA app;
    CREATE TABLE app.jobs (id bigint PRIMARY KEY, organization_id uuid, status text, note json, size numeric);`);
});
afterEach(() => database[Symbol.asyncDispose]());

const capture = (more = '', table = 'app.jobs') => database.query(`SELECT walpost.capture('${table}', 'job'${more})`);
const insert = (ids: readonly number[], table = 'app.jobs') =>
  database.query(
    `INSERT INTO ${table} (id, organization_id, status)
     SELECT id, CASE WHEN id % 2 = 1 THEN $2 ELSE $3 END::uuid, 'new' FROM unnest($1::bigint[]) AS id`,
    [ids, first, second],
  );

async function taken(): Promise<unknown[]> {
  const rows = await database.query<{ event_type: string; entity_id: string; payload: unknown }>(
    'WITH gone AS (DELETE FROM walpost.outbox RETURNING *) SELECT * FROM gone ORDER BY seq',
  );
  return rows.map(({ event_type, entity_id, payload }) => [event_type, entity_id, payload]);
}

test('inserts, updates and deletes become events with the id and the named columns', async () => {
  await capture(`, columns => '{status}', topic => 'cataloging', target => 'slack'`);
  await insert([1, 2]);
  const rows = await database.query(
    `SELECT organization_id, topic, target, entity_type FROM walpost.outbox ORDER BY seq`,
  );
  const more = { topic: 'cataloging', target: 'slack', entity_type: 'job' };
  expect(rows).toEqual([
    { organization_id: first, ...more },
    { organization_id: second, ...more },
  ]);
  expect(await taken()).toEqual([
    ['job.created', '1', { id: 1, status: 'new' }],
    ['job.created', '2', { id: 2, status: 'new' }],
  ]);
  await database.query(`UPDATE app.jobs SET status = 'done' WHERE id = 1`);
  await database.query(`DELETE FROM app.jobs WHERE id = 2`);
  expect(await taken()).toEqual([
    ['job.updated', '1', { id: 1, status: 'done' }],
    ['job.deleted', '2', { id: 2, status: 'new' }],
  ]);
});

test('INSERT ON CONFLICT, MERGE and COPY are told too', async () => {
  await capture();
  await insert([1]);
  await database.query(
    `INSERT INTO app.jobs (id, organization_id) VALUES (1, $1), (2, $1)
                        ON CONFLICT (id) DO UPDATE SET status = 'again'`,
    [first],
  );
  await database.query(`MERGE INTO app.jobs AS j USING (VALUES (2), (3)) AS v (id) ON j.id = v.id
                        WHEN MATCHED THEN DELETE
                        WHEN NOT MATCHED THEN INSERT (id, organization_id) VALUES (v.id, '${first}')`);
  const types = (await taken()).map((event) => (event as string[]).slice(0, 2).join(' '));
  expect(types.toSorted()).toEqual(
    ['job.created 1', 'job.created 2', 'job.created 3', 'job.deleted 2', 'job.updated 1'].toSorted(),
  );
});

test('an update of 100,000 rows is one INSERT', async () => {
  await database.query(`INSERT INTO app.jobs SELECT n, $1, 'new' FROM generate_series(1, 100000) AS n`, [first]);
  await capture(`, columns => '{status}'`);
  await database.query(`
    CREATE TABLE public.statements (n bigint);
    CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS $$
      BEGIN INSERT INTO public.statements SELECT count(*) FROM added; RETURN NULL; END $$;
    CREATE TRIGGER note AFTER INSERT ON walpost.outbox REFERENCING NEW TABLE AS added
      FOR EACH STATEMENT EXECUTE FUNCTION public.note();
    UPDATE app.jobs SET status = 'done'`);
  expect(await database.query('SELECT n::int FROM public.statements')).toEqual([{ n: 100_000 }]);
});

test('a condition on both rows chooses, and each kind of statement has the row that it lacks as null', async () => {
  await capture(`, condition => 'new.status IS DISTINCT FROM old.status -- only then', event_prefix => 'state'`);
  await insert([1, 2]);
  await database.query(`UPDATE app.jobs SET size = 1`);
  await database.query(`UPDATE app.jobs SET status = 'done' WHERE id = 1`);
  await database.query(`DELETE FROM app.jobs WHERE id = 2`);
  expect((await taken()).map((event) => (event as string[])[0])).toEqual([
    'state.created',
    'state.created',
    'state.updated',
    'state.deleted',
  ]);
});

test('only what changed, on request: also in types without equality, and when the id changes', async () => {
  await capture(`, columns => '{status,note,size}', changed_only => true`);
  await insert([1]);
  await taken();
  await database.query(`UPDATE app.jobs SET status = status`);
  expect(await taken()).toEqual([]);
  await database.query(`UPDATE app.jobs SET note = '{"a": 1}', size = 2`);
  await database.query(`UPDATE app.jobs SET note = NULL`);
  await database.query(`UPDATE app.jobs SET id = 9`);
  expect(await taken()).toEqual([
    ['job.updated', '1', { id: 1, note: { a: 1 }, size: 2 }],
    ['job.updated', '1', { id: 1, note: null }],
    ['job.updated', '9', { id: 9, status: 'new', size: 2 }],
  ]);
});

test('names that need quotes, a table with more columns than a call has arguments, organizations as text', async () => {
  const columns = Array.from({ length: 120 }, (_, n) => `c "${n}`);
  const defined = columns.map((name) => `"${name.replaceAll('"', '""')}" int DEFAULT 7`).join(', ');
  await database.query(`CREATE TABLE app."Odd ""jobs'" ("the id" text, "org" text, new int, headers int, ${defined})`);
  await database.query(
    `SELECT walpost.capture('app."Odd ""jobs''"', 'it''s', organization_column => 'org', id_column => 'the id', columns => $1)`,
    [[...columns, 'new', 'headers']],
  );
  await database.query(`INSERT INTO app."Odd ""jobs'" ("the id", org, new, headers) VALUES ('a''b', $1, 1, 2)`, [
    first,
  ]);
  const [row] = await database.query<{ payload: Record<string, unknown> }>(
    'SELECT payload, entity_id FROM walpost.outbox',
  );
  expect(Object.keys(row?.payload ?? {}).length).toBe(123);
  expect(row).toMatchObject({ entity_id: "a'b", payload: { 'the id': "a'b", 'c "119': 7, new: 1, headers: 2 } });
});

test('capture again replaces, release removes everything', async () => {
  const made = () =>
    database.query(`SELECT tgname FROM pg_trigger WHERE tgrelid = 'app.jobs'::regclass UNION ALL
                    SELECT proname FROM pg_proc WHERE proname LIKE 'capture\\_%\\_jobs'`);
  await capture();
  await capture(`, operations => '{update}', event_prefix => 'second'`);
  expect(await made()).toHaveLength(2);
  await insert([1]);
  await database.query(`UPDATE app.jobs SET status = 'x'`);
  expect((await taken()).map((event) => (event as string[])[0])).toEqual(['second.updated']);
  expect(await database.query(`SELECT walpost.release('app.jobs') AS n`)).toEqual([{ n: 1 }]);
  expect(await made()).toEqual([]);
  await database.query(`UPDATE app.jobs SET status = 'y'`);
  expect(await taken()).toEqual([]);
  await capture();
  await database.query('DROP TABLE app.jobs; CREATE TABLE app.other (id int, organization_id uuid)');
  await capture('', 'app.other');
  expect(await database.query(`SELECT proname FROM pg_proc WHERE proname LIKE 'capture\\_%\\_jobs'`)).toEqual([]);
});

test('a partitioned table is captured through its root, rows that move included; a partition is refused', async () => {
  await database.query(`
    CREATE TABLE app.parts (id bigint, organization_id uuid, status text) PARTITION BY RANGE (id);
    CREATE TABLE app.parts_low PARTITION OF app.parts FOR VALUES FROM (0) TO (10);
    CREATE TABLE app.parts_high PARTITION OF app.parts FOR VALUES FROM (10) TO (20)`);
  await capture(`, columns => '{status}'`, 'app.parts');
  await insert([1, 11], 'app.parts');
  await database.query(`UPDATE app.parts SET id = 12 WHERE id = 1`);
  await database.query(`DELETE FROM app.parts WHERE id = 12`);
  expect(await taken()).toEqual([
    ['job.created', '1', { id: 1, status: 'new' }],
    ['job.created', '11', { id: 11, status: 'new' }],
    ['job.updated', '12', { id: 12, status: 'new' }],
    ['job.deleted', '12', { id: 12, status: 'new' }],
  ]);
  await expect(capture('', 'app.parts_low')).rejects.toThrow('app.parts_low is a partition; capture app.parts');
});

test('TRUNCATE is refused with a sentence, unless it was allowed; replicas tell nothing', async () => {
  await capture();
  await insert([1]);
  await expect(database.query('TRUNCATE app.jobs')).rejects.toMatchObject({
    code: '55000',
    message: 'walpost captures deletions from app.jobs, and TRUNCATE does not tell which rows go',
  });
  await taken();
  const client = await database.client();
  await client.query(`SET session_replication_role = replica`);
  await client.query(`UPDATE app.jobs SET status = 'x'; TRUNCATE app.jobs`);
  expect(await taken()).toEqual([]);
  await capture(`, on_truncate => 'ignore'`);
  await database.query('TRUNCATE app.jobs');
});

test("a payload over its topic's own limit is an error, for each way of capture; the limit of every topic is not asked", async () => {
  const write = (length: number) =>
    database.query(
      `INSERT INTO app.jobs (id, organization_id, status) VALUES (1, $1, repeat('é', $2))
       ON CONFLICT (id) DO UPDATE SET status = excluded.status`,
      [first, length],
    );
  await capture(`, columns => '{status}', topic => 'cataloging', changed_only => true`);
  await database.query(
    `INSERT INTO walpost.settings (name, topic, value) VALUES ('max_payload_bytes', 'cataloging', '1024'), ('max_payload_bytes', 'other', '512')`,
  );
  await write(500); // {"id": 1, "status": "…"} has 23 bytes more
  for (const trigger of [
    '',
    'CREATE TRIGGER own AFTER INSERT ON app.jobs FOR EACH ROW EXECUTE FUNCTION app.nothing()',
  ]) {
    await database.query(`
      CREATE OR REPLACE FUNCTION app.nothing() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN NULL; END'; ${trigger};
      SELECT walpost.capture('app.jobs', 'job', columns => '{status}', topic => 'cataloging', changed_only => true)`);
    await expect(write(501)).rejects.toMatchObject({
      code: '23514',
      message:
        'walpost captures app.jobs, and the payload of a row has 1025 bytes, the limit of topic "cataloging" is 1024',
    });
  }
  expect(await taken()).toHaveLength(1);
  await database.query(`DELETE FROM walpost.settings WHERE topic = 'cataloging'`);
  await write(100_000);
  expect(await taken()).toHaveLength(1);
});

test.each([
  [`, condition => 'true); DROP TABLE app.jobs; --'`, 'no condition'],
  [`, condition => 'true) OR (true'`, 'no condition'],
  [`, condition => '1'`, 'no condition'],
  [`, condition => 'new.nothing > 1'`, 'new.nothing does not exist'],
  [`, columns => '{nothing}'`, 'has no column nothing'],
  [`, id_column => NULL`, 'id_column must not be null'],
  [`, organization_column => 'size'`, 'neither uuid nor text'],
  [`, operations => '{truncate}'`, 'operations must be'],
  [`, on_truncate => 'x'`, 'on_truncate must be'],
])('refused: capture(…%s)', async (more, message) => {
  await expect(capture(more)).rejects.toMatchObject({
    code: '22023',
    message: expect.stringContaining(message) as string,
  });
  await insert([1]);
  expect(await taken()).toEqual([]);
});

test('a view, and the tables of walpost, are refused', async () => {
  await database.query('CREATE VIEW app.view AS SELECT * FROM app.jobs');
  await expect(capture('', 'app.view')).rejects.toThrow('is no table');
  await expect(capture('', 'walpost.outbox')).rejects.toThrow('walpost itself');
});

test('who may write the table need not be allowed to write the outbox, may be confined to one organization, and cannot lend the function', async () => {
  await capture();
  await database.query(
    'GRANT USAGE ON SCHEMA app TO PUBLIC; GRANT ALL ON app.jobs TO PUBLIC; GRANT CREATE ON SCHEMA app TO PUBLIC',
  );
  await using role = await createRole(database, { in: ['walpost_publisher'] });
  const client = await role.client();
  await client.query(`SET app.current_org_id = '${first}'`);
  await client.query(`INSERT INTO app.jobs VALUES (1, '${first}'), (2, '${second}')`);
  expect((await taken()).length).toBe(2);
  await client.query('CREATE TABLE app.mine (id int, organization_id uuid)');
  const [made] = await database.query<{ name: string }>(
    `SELECT oid::regproc::text AS name FROM pg_proc WHERE proname LIKE 'capture\\_%\\_jobs'`,
  );
  const lend = client.query(`CREATE TRIGGER mine AFTER INSERT ON app.mine REFERENCING NEW TABLE AS new_rows
                             FOR EACH STATEMENT EXECUTE FUNCTION ${made?.name}()`);
  await expect(lend).rejects.toMatchObject({ code: '42501' });
});
