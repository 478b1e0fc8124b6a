import { expect, test } from 'vitest';
import { requireScanColumns } from '../../src/jobs/outbox-scan.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { planPreparation } from '../../src/postgres/source/source-preparation.ts';
import { checkSource } from '../../src/postgres/source/source-checks.ts';
import { ConfigFile } from '../support/config-file.ts';
import { createRole } from '../support/database-role.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { walpost } from '../support/walpost-cli.ts';

const QUOTED = '"app"."My ""events"""';
const NAME = 'app."My ""events"""';

async function sourceOf(kind = ''): Promise<TestDatabase> {
  const database = await createTestDatabase();
  await database.query(`CREATE SCHEMA app; CREATE TABLE ${QUOTED} (id uuid, tenant text, payload jsonb) ${kind};`);
  if (kind !== '') await database.query(`CREATE TABLE app.part PARTITION OF ${QUOTED} DEFAULT`);
  await database.query(
    `ALTER TABLE ${QUOTED} ENABLE ROW LEVEL SECURITY; INSERT INTO ${QUOTED} VALUES (gen_random_uuid(), 'a', '{}')`,
  );
  return database;
}

test.each(['', 'PARTITION BY LIST (tenant)'])(
  'a plan that is applied leaves a table that the relay takes %s',
  async (kind) => {
    await using database = await sourceOf(kind);
    const client = await database.client();
    const options = { db: client, publication: 'mine', table: NAME };
    const plan = await planPreparation(options);
    expect(plan.map(({ sql }) => sql.split(/[ (]/).slice(0, 3).join(' '))).toEqual([
      'ALTER TABLE "app"."My',
      'ALTER TABLE "app"."My',
      ...(kind === '' ? [] : ['CREATE INDEX ON']),
      'CREATE PUBLICATION "mine"',
      'GRANT USAGE ON',
      'CREATE POLICY walpost_relay',
      ...(kind === '' ? ['CREATE INDEX CONCURRENTLY'] : []),
    ]);
    await client.query(plan[0]?.sql ?? '');
    expect(await planPreparation(options)).toEqual(plan.slice(1));
    for (const { sql } of plan.slice(1)) await client.query(sql);
    expect(await planPreparation(options)).toEqual([]);

    await using role = await createRole(database, { in: ['walpost_relay'] });
    const pool = createPool(role.url, { applicationName: 'test', max: 1 });
    const columns = ['id', 'tenant', 'payload'];
    await checkSource({ db: pool, publication: 'mine', table: NAME, columns, plugin: 'pgoutput', slot: 'mine' });
    await requireScanColumns(pool, NAME);
    expect((await pool.query(`SELECT created_xid IS NOT NULL AS xid, seq FROM ${QUOTED}`)).rows).toEqual([
      { xid: true, seq: '1' },
    ]);
    await pool.end();
  },
);

test('a publication that is there gets the table, and inserts', async () => {
  await using database = await sourceOf();
  await database.query(`CREATE PUBLICATION mine WITH (publish = 'update')`);
  const plan = await planPreparation({ db: await database.client(), publication: 'mine', table: NAME });
  expect(plan.map(({ sql }) => sql).filter((sql) => sql.includes('PUBLICATION'))).toEqual([
    `ALTER PUBLICATION "mine" ADD TABLE ${QUOTED}`,
    `ALTER PUBLICATION "mine" SET (publish = 'insert')`,
  ]);
});

test('a column of another type stands in the way', async () => {
  await using database = await sourceOf();
  await database.query(`ALTER TABLE ${QUOTED} ADD COLUMN seq text`);
  const planned = planPreparation({ db: await database.client(), publication: 'mine', table: NAME });
  await expect(planned).rejects.toMatchObject({ code: 'SCAN_COLUMNS' });
  const nothing = planPreparation({ db: await database.client(), publication: 'mine', table: 'app.nothing' });
  await expect(nothing).rejects.toMatchObject({ code: 'SOURCE_TABLE', remedy: 'Create it, or correct --outbox.' });
});

test('walpost migrate --outbox prints the plan, and applies it with --yes', async () => {
  await using database = await sourceOf();
  using file = new ConfigFile(
    JSON.stringify({
      database: { url: database.url },
      source: { publication: 'mine' },
      sinks: { log: { type: 'stdout' } },
      routes: [{ to: ['log'] }],
    }),
  );
  const run = (...more: string[]) => walpost(['migrate', '--config', file.path, '--outbox', NAME, ...more]);
  const plan = await run();
  expect(plan).toMatchObject({ code: 0, stdout: expect.stringContaining('CREATE INDEX CONCURRENTLY') as string });
  expect(await database.query(`SELECT FROM pg_publication WHERE pubname = 'mine'`)).toEqual([]);
  expect((await run('--yes')).stdout).toBe(plan.stdout.replace(/-- To apply it.*\n/, ''));
  expect(await run()).toMatchObject({ code: 0, stdout: `${NAME} has all that it needs.\n` });
});

test('a statement that is refused leaves nothing behind', async () => {
  await using database = await sourceOf();
  await using role = await createRole(database);
  await database.query(
    `GRANT USAGE, CREATE ON SCHEMA app TO ${role.name}; ALTER TABLE ${QUOTED} OWNER TO ${role.name}`,
  );
  using file = new ConfigFile(
    JSON.stringify({
      database: { url: role.url },
      source: { publication: 'mine' },
      sinks: { log: { type: 'stdout' } },
      routes: [{ to: ['log'] }],
    }),
  );
  const refused = await walpost(['migrate', '--config', file.path, '--outbox', NAME, '--yes']);
  expect(refused).toMatchObject({ code: 1, stderr: expect.stringMatching(/^PERMISSION_DENIED[^]*CREATE PUBLICATION/) });
  const columns = `SELECT attname FROM pg_attribute WHERE attrelid = '${QUOTED}'::regclass AND attnum > 0`;
  expect(await database.query(columns)).toEqual(['id', 'tenant', 'payload'].map((attname) => ({ attname })));
});

test('an index that was left behind half made is dropped first', async () => {
  await using database = await sourceOf();
  const client = await database.client();
  const options = { db: client, publication: 'mine', table: NAME };
  for (const { sql } of await planPreparation(options)) await client.query(sql);
  await client.query(`UPDATE pg_index SET indisvalid = false WHERE indrelid = '${QUOTED}'::regclass`);
  const plan = await planPreparation(options);
  expect(plan.map(({ sql }) => sql.split(' ').slice(0, 3).join(' '))).toEqual([
    'DROP INDEX CONCURRENTLY',
    'CREATE INDEX CONCURRENTLY',
  ]);
  for (const { sql } of plan) await client.query(sql);
  expect(await planPreparation(options)).toEqual([]);
});

test('a partition is prepared with its whole', async () => {
  await using database = await sourceOf('PARTITION BY LIST (tenant)');
  const planned = planPreparation({ db: await database.client(), publication: 'mine', table: 'app.part' });
  await expect(planned).rejects.toMatchObject({
    code: 'SOURCE_TABLE',
    message: expect.stringContaining('is a partition of app.'),
  });
});
