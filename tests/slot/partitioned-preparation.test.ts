/** `walpost migrate --outbox` for a partitioned table, on the versions beside the one of the other tests. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { requireScanColumns } from '../../src/jobs/outbox-scan.ts';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { checkSource } from '../../src/postgres/source/source-checks.ts';
import { ConfigFile, LEAST } from '../support/config-file.ts';
import { createRole } from '../support/database-role.ts';
import { createTestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { walpost } from '../support/walpost-cli.ts';

const TABLE = 'app.events';

describe.each(['15', '16', '18'] as const)('Postgres %s', (version) => {
  let server: EmbeddedPostgres;
  beforeAll(async () => {
    server = await startServer(version);
  }, 180_000);
  afterAll(() => server[Symbol.asyncDispose]());

  test('a partitioned table in use becomes an outbox, and its writers go on', async () => {
    await using database = await createTestDatabase({ server: server.url() });
    await using owner = await createRole(database);
    await using writer = await createRole(database);
    await database.query(`
      CREATE SCHEMA app; CREATE TABLE ${TABLE} (id int, tenant text, kind text, payload jsonb) PARTITION BY LIST (tenant);
      CREATE TABLE app.a PARTITION OF ${TABLE} FOR VALUES IN ('a'); CREATE TABLE app.rest PARTITION OF ${TABLE} DEFAULT;
      ALTER TABLE ${TABLE} OWNER TO ${owner.name}; ALTER TABLE app.a OWNER TO ${owner.name}; ALTER TABLE app.rest OWNER TO ${owner.name};
      GRANT USAGE ON SCHEMA app TO ${writer.name}; GRANT INSERT (id, tenant) ON ${TABLE} TO ${writer.name};
      INSERT INTO ${TABLE} VALUES (1, 'a'), (2, 'b')`);
    const text = LEAST.replace('postgres://localhost/app', JSON.stringify(database.url));
    using file = new ConfigFile(`${text}source: { publication: mine }\n`);
    const prepare = () => walpost(['migrate', '-c', file.path, '--outbox', TABLE, '--yes']);
    expect(await prepare()).toMatchObject({ code: 0, stderr: '' });
    expect(await prepare()).toMatchObject({ code: 0, stdout: `${TABLE} has all that it needs.\n` });

    const client = await writer.client();
    await client.query(`INSERT INTO ${TABLE} (id, tenant) VALUES (3, 'a'), (4, 'c')`);
    const rows = await database.query<{ n: number }>(
      `SELECT count(DISTINCT seq)::int AS n FROM ${TABLE} WHERE created_xid IS NOT NULL`,
    );
    expect(rows).toEqual([{ n: 4 }]);
    await using relay = await createRole(database, { in: ['walpost_relay'] });
    const pool = createPool(relay.url, { applicationName: 'test', max: 1 });
    const columns = ['id', 'tenant', 'payload'];
    await checkSource({ db: pool, publication: 'mine', table: TABLE, columns, plugin: 'pgoutput', slot: 'mine' });
    await requireScanColumns(pool, TABLE);
    await pool.end();
  });
});
