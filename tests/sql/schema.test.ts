import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { createTestDatabase, databaseUrl } from '../support/database.ts';
import { type PostgresMajor, startServer } from '../support/server.ts';

test('every table, column, index and function says what it is for', async () => {
  await using database = await createTestDatabase();
  const silent = await database.query(`
    SELECT format('%s %s', c.relkind, c.oid::regclass) AS what FROM pg_class c
     WHERE c.relnamespace IN ('walpost'::regnamespace, 'walpost_internal'::regnamespace) AND obj_description(c.oid, 'pg_class') IS NULL
       AND (c.relkind IN ('r', 'v', 'm', 'p')
            OR c.relkind = 'i' AND NOT EXISTS (SELECT FROM pg_constraint WHERE conindid = c.oid))
     UNION ALL
    SELECT format('%s.%s', c.oid::regclass, a.attname) FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid
     WHERE c.relnamespace IN ('walpost'::regnamespace, 'walpost_internal'::regnamespace) AND c.relkind IN ('r', 'p') AND a.attnum > 0
       AND NOT a.attisdropped AND col_description(c.oid, a.attnum) IS NULL
     UNION ALL
    SELECT p.oid::regprocedure::text FROM pg_proc p
     WHERE p.pronamespace IN ('walpost'::regnamespace, 'walpost_internal'::regnamespace) AND obj_description(p.oid, 'pg_proc') IS NULL`);
  expect(silent).toEqual([]);
  const tables = await database.query(`SELECT FROM pg_tables WHERE schemaname = 'walpost'`);
  expect(tables.length).toBeGreaterThan(5);
});

test('functions are safe from the search_path of their caller', async () => {
  await using database = await createTestDatabase();
  const open = await database.query(`
    SELECT oid::regprocedure::text FROM pg_proc
     WHERE pronamespace IN ('walpost'::regnamespace, 'walpost_internal'::regnamespace) AND prosqlbody IS NULL
       AND NOT coalesce(proconfig::text LIKE '%search_path=pg_catalog%', false)`);
  expect(open).toEqual([]);
});

test('the publication publishes inserts of the outbox and changes of endpoints, and nothing else', async () => {
  await using database = await createTestDatabase();
  expect(
    await database.query(`SELECT puballtables, pubinsert, pubupdate, pubdelete, pubtruncate, pubviaroot
                            FROM pg_publication WHERE pubname = 'walpost'`),
  ).toEqual([
    { puballtables: false, pubinsert: true, pubupdate: false, pubdelete: false, pubtruncate: false, pubviaroot: true },
  ]);
  expect(await database.query(`SELECT schemaname, tablename FROM pg_publication_tables ORDER BY 2`)).toEqual([
    { schemaname: 'walpost', tablename: 'endpoint_changes' },
    { schemaname: 'walpost', tablename: 'outbox' },
  ]);
});

test('ids are version 7 uuids of the present time that sort as they were made', async () => {
  await using database = await createTestDatabase();
  const rows = await database.query<{ id: string }>(
    'SELECT walpost.uuid_v7()::text AS id FROM generate_series(1, 5000)',
  );
  const ids = rows.map(({ id }) => id);
  expect(new Set(ids).size).toBe(5000);
  expect(ids.filter((id) => !/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.test(id))).toEqual(
    [],
  );
  const milliseconds = Number.parseInt((ids[0] ?? '').replace('-', '').slice(0, 12), 16);
  expect(Math.abs(milliseconds - Date.now())).toBeLessThan(60_000);
  const times = ids.map((id) => id.slice(0, 18));
  expect(times).toEqual(times.toSorted());
});

test('the outbox bounds every value, also for a plain INSERT', async () => {
  await using database = await createTestDatabase();
  const insert = (columns: string, values: string) =>
    database.query(
      `INSERT INTO walpost.outbox (organization_id, event_type, payload ${columns}) VALUES ($1, 'a', '{}' ${values})`,
      [randomUUID()],
    );
  await insert('', '');
  for (const [column, value] of [
    ['event_version', '0'],
    ['topic', "''"],
    ['headers', "'1'"],
    ['entity_id', "repeat('x', 1025)"],
    ['target', "repeat('x', 256)"],
    ['idempotency_key', "''"],
  ]) {
    await expect(insert(`, ${column}`, `, ${value}`)).rejects.toMatchObject({
      code: '23514',
      constraint: expect.stringContaining(`outbox_${column}`),
    });
  }
  await expect(
    database.query(`INSERT INTO walpost.outbox (organization_id, event_type, payload)
                    VALUES (gen_random_uuid(), 'a', to_jsonb(repeat('x', 1048576)))`),
  ).rejects.toMatchObject({ constraint: 'outbox_payload_1mib' });
});

test('paging by (created_xid, seq) uses its index', async () => {
  await using database = await createTestDatabase();
  const client = await database.client();
  await client.query(`INSERT INTO walpost.outbox (organization_id, event_type, payload)
                      SELECT gen_random_uuid(), 'a', '{}' FROM generate_series(1, 5000)`);
  await client.query('ANALYZE walpost.outbox');
  const { rows } = await client.query<{ 'QUERY PLAN': string }>(
    `EXPLAIN SELECT * FROM walpost.outbox WHERE (created_xid, seq) > ('1'::xid8, 100) ORDER BY created_xid, seq LIMIT 100`,
  );
  expect(rows.map((row) => row['QUERY PLAN']).join('\n')).toContain('outbox_created_xid_seq_idx');
});

test.each<PostgresMajor>(['15', '16', '18'])(
  'everything applies and works on PostgreSQL %s',
  { timeout: 120_000 },
  async (version) => {
    await using server = await startServer(version);
    expect(server.version).toMatch(new RegExp(`^${version}\\.`));
    await using database = await createTestDatabase({ migrated: false, server: server.url() });
    expect((await migrate(databaseUrl(server.url(), database.name))).length).toBeGreaterThan(5);
    const publish = `SELECT walpost.publish($1, 'a', '{}', idempotency_key => 'k') AS id`;
    const organization = randomUUID();
    const first = await database.query(publish, [organization]);
    expect(await database.query(publish, [organization])).toEqual(first);
    expect(await database.query('SELECT event_id AS id FROM walpost.outbox')).toEqual(first);
  },
);
