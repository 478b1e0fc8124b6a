/** What keeps rows out of the stream though the table is published: refused, and the remedy, as it stands, takes it away. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import type { ErrorCode, WalpostError } from '../../src/errors.ts';
import { checkSource, type SourceCheckOptions } from '../../src/postgres/source/source-checks.ts';
import { createTestDatabase, databaseUrl, type TestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { newClient } from '../support/client.ts';

const TABLE = `CREATE SCHEMA app; CREATE TABLE app."Out" (id bigint, org uuid, body text, created_xid xid8 DEFAULT pg_current_xact_id())`;
const PUBLISHED = `CREATE PUBLICATION events FOR TABLE app."Out" WITH (publish = 'insert', publish_via_partition_root = true)`;
const PARTITIONED = `${TABLE} PARTITION BY RANGE (id); CREATE TABLE app.low PARTITION OF app."Out" FOR VALUES FROM (0) TO (10)`;

interface Case {
  readonly what: string;
  readonly code: ErrorCode;
  readonly sql: string;
  readonly says: string;
  readonly versions?: readonly string[];
  readonly more?: Partial<SourceCheckOptions>;
  /** Where the remedy is no statement. */
  readonly remedy?: string;
}

const FOREIGN = `CREATE EXTENSION postgres_fdw; CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw`;

const CASES: readonly Case[] = [
  {
    what: 'an inheritance child',
    code: 'SOURCE_DIVERTED',
    sql: `${TABLE}; ${PUBLISHED}; CREATE TABLE app."Child" () INHERITS (app."Out")`,
    says: 'app."Child" inherits from app."Out"',
  },
  {
    what: 'a rule INSTEAD of the insert',
    code: 'SOURCE_DIVERTED',
    sql: `${TABLE}; ${PUBLISHED}; CREATE RULE "No Inserts" AS ON INSERT TO app."Out" WHERE NEW.id > 5 DO INSTEAD NOTHING`,
    says: 'The rule "No Inserts"',
  },
  {
    what: 'a foreign partition',
    code: 'SOURCE_DIVERTED',
    sql: `${FOREIGN}; ${PARTITIONED};
          CREATE FOREIGN TABLE app.far PARTITION OF app."Out" FOR VALUES FROM (10) TO (20) SERVER other; ${PUBLISHED}`,
    says: 'app.far is a foreign table',
  },
  {
    what: 'a row filter',
    code: 'PUBLICATION_TABLE',
    sql: `${TABLE}; CREATE PUBLICATION events FOR TABLE app."Out" WHERE (id > 5) WITH (publish = 'insert')`,
    says: '"events" has a row filter on app."Out": (id > 5)',
  },
  {
    what: 'a row filter, in a publication of several tables',
    code: 'PUBLICATION_TABLE',
    sql: `${TABLE}; CREATE TABLE app.other (n int);
          CREATE PUBLICATION events FOR TABLE app."Out" WHERE (id > 5), app.other WITH (publish = 'insert')`,
    says: 'has a row filter',
  },
  {
    what: 'a row filter on the partitioned root',
    code: 'PUBLICATION_TABLE',
    sql: `${PARTITIONED};
          CREATE PUBLICATION events FOR TABLE app."Out" WHERE (id > 5) WITH (publish = 'insert', publish_via_partition_root = true)`,
    says: 'has a row filter',
  },
  {
    what: 'a column list, in a publication of several tables',
    code: 'PUBLICATION_TABLE',
    sql: `${TABLE}; CREATE TABLE app.other (n int);
          CREATE PUBLICATION events FOR TABLE app."Out" (id), app.other WITH (publish = 'insert')`,
    says: 'leaves out the column "body"',
  },
  {
    what: 'a generated column',
    code: 'PUBLICATION_TABLE',
    versions: ['15', '16', '17'],
    sql: `${TABLE}; ALTER TABLE app."Out" DROP COLUMN body, ADD COLUMN body text GENERATED ALWAYS AS (id || 'x') STORED; ${PUBLISHED}`,
    says: 'The column body of app."Out" is generated',
  },
  {
    what: 'a generated column, which can be published',
    code: 'PUBLICATION_TABLE',
    versions: ['18'],
    sql: `${TABLE}; ALTER TABLE app."Out" DROP COLUMN body, ADD COLUMN body text GENERATED ALWAYS AS ((id * 2)::text) STORED; ${PUBLISHED}`,
    says: 'The column body of app."Out" is generated',
  },
  {
    what: 'a virtual column',
    code: 'PUBLICATION_TABLE',
    versions: ['18'],
    sql: `${TABLE}; ALTER TABLE app."Out" DROP COLUMN body, ADD COLUMN body int GENERATED ALWAYS AS (id * 2) VIRTUAL;
          ${PUBLISHED.replace("'insert'", "'insert', publish_generated_columns = stored")}`,
    says: 'The column body of app."Out" is generated',
    remedy: 'ALTER TABLE app."Out" DROP COLUMN body, ADD COLUMN body text',
  },
  {
    what: 'a view in place of the table',
    code: 'SOURCE_TABLE',
    sql: `CREATE SCHEMA app; CREATE VIEW app."Out" AS SELECT 1 AS id, 2 AS body; CREATE PUBLICATION events`,
    says: 'app."Out" is a view',
    remedy: `DROP VIEW app."Out"; DROP PUBLICATION events; ${TABLE.replace('CREATE SCHEMA app; ', '')}; ${PUBLISHED}`,
  },
  {
    what: 'a partition whose root is published',
    code: 'PUBLICATION_TABLE',
    sql: `${PARTITIONED}; ${PUBLISHED}`,
    says: 'app.low is a partition, and "events" names its rows after app."Out"',
    more: { table: 'app.low' },
  },
  {
    what: 'wal2json and a partitioned table',
    code: 'PLUGIN_PARTITIONS',
    sql: `${PARTITIONED}; ${PUBLISHED}`,
    says: 'wal2json',
    more: { plugin: 'wal2json' },
    remedy: 'pgoutput',
  },
];

describe.each(['15', '16', '17', '18'] as const)('Postgres %s', (version) => {
  let server: EmbeddedPostgres;
  beforeAll(async () => {
    server = await startServer(version);
  }, 120_000);
  afterAll(() => server[Symbol.asyncDispose]());

  const optionsFor = async (db: TestDatabase, more?: Partial<SourceCheckOptions>): Promise<SourceCheckOptions> => ({
    db: await db.client(),
    publication: 'events',
    table: 'app."Out"',
    columns: ['id', 'body'],
    plugin: 'pgoutput',
    slot: 'events',
    ...more,
  });

  test.each(CASES.filter(({ versions }) => versions?.includes(version) ?? true))(
    '$what',
    async ({ code, sql, says, more, remedy }) => {
      await using db = await createTestDatabase({ migrated: false, server: server.url() });
      await db.query(sql);
      const options = await optionsFor(db, more);
      const error = (await checkSource(options).catch((reason: unknown) => reason)) as WalpostError;
      expect(error).toMatchObject({ code, policy: 'operator' });
      expect(error.message).toContain(says);
      if (remedy === 'pgoutput') return void (await checkSource({ ...options, plugin: remedy }));
      await db.query(remedy ?? error.remedy.replace(/(.*);.*$/s, '$1'));
      await checkSource(options);
      const others = await db.query(`SELECT FROM pg_publication_tables WHERE tablename = 'other'`);
      expect(others.length).toBe(sql.includes(', app.other') ? 1 : 0); // the remedy takes no other table away
    },
  );

  test('a stored column, which wal2json sends', async () => {
    await using db = await createTestDatabase({ migrated: false, server: server.url() });
    await db.query(
      `${TABLE}; ALTER TABLE app."Out" DROP COLUMN body, ADD COLUMN body text GENERATED ALWAYS AS (id || 'x') STORED; ${PUBLISHED}`,
    );
    await checkSource(await optionsFor(db, { plugin: 'wal2json' }));
  });

  test('a subscription that writes the table', async () => {
    await using from = await createTestDatabase({ migrated: false, server: server.url() });
    await using to = await createTestDatabase({ migrated: false, server: server.url() });
    for (const db of [from, to]) await db.query(`${TABLE}; ${PUBLISHED}`);
    const slot = `${to.slotName}_feed`;
    await from.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
    await to.query(
      `CREATE SUBSCRIPTION feed CONNECTION '${databaseUrl(server.url(), from.name)}' PUBLICATION events
         WITH (create_slot = false, slot_name = '${slot}', copy_data = false, enabled = false)`,
    );
    const drop = 'ALTER SUBSCRIPTION feed SET (slot_name = NONE); DROP SUBSCRIPTION feed';
    try {
      const options = await optionsFor(to);
      const refused = checkSource(options);
      await expect(refused).rejects.toMatchObject({ code: 'SOURCE_DIVERTED' });
      await expect(refused).rejects.toThrow('The subscription feed writes app."Out"');
      await from.query(`ALTER PUBLICATION events DROP TABLE app."Out"`);
      const admin = newClient(to.url);
      await admin.connect();
      await admin.query('ALTER SUBSCRIPTION feed ENABLE');
      await admin.query('ALTER SUBSCRIPTION feed REFRESH PUBLICATION WITH (copy_data = false)');
      await admin.query('ALTER SUBSCRIPTION feed DISABLE');
      await admin.end();
      await checkSource(options);
    } finally {
      for (const sql of drop.split(';')) await to.query(sql);
      await from.query(
        `SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = $1 AND active_pid IS NOT NULL`,
        [slot],
      );
    }
  });
});
