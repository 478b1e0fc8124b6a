import type pg from 'pg';
import { beforeEach, describe, expect, test } from 'vitest';
import type { WalpostError } from '../../src/errors.ts';
import { ensurePublication } from '../../src/postgres/source/publication.ts';
import { checkSource } from '../../src/postgres/source/source-checks.ts';
import type { SourceCheckOptions } from '../../src/postgres/source/source-checks.ts';
import { createTestDatabase } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';

const QUOTED = '"app"."My ""events"""';
const CONFIGURED = 'app."My ""events"""';

async function createSource(partitioned = ''): Promise<TestDatabase> {
  const db = await createTestDatabase({ migrated: false });
  await db.query('CREATE SCHEMA app');
  await db.query(`CREATE TABLE ${QUOTED} (id bigint, "type" text, payload jsonb) ${partitioned}`);
  return db;
}

async function optionsFor(db: TestDatabase, more: Partial<SourceCheckOptions> = {}): Promise<SourceCheckOptions> {
  return {
    db: await db.client(),
    publication: 'events',
    table: CONFIGURED,
    columns: ['id', 'type', 'payload'],
    plugin: 'pgoutput',
    slot: 'events',
    ...more,
  };
}

test('a table that is not there, and columns that it does not have', async () => {
  await using db = await createSource();
  for (const table of ['app.nothing', 'nowhere.events', 'a.b.c', 'events']) {
    await expect(checkSource(await optionsFor(db, { table }))).rejects.toMatchObject({ code: 'SOURCE_TABLE' });
  }
  const remedy = async (table: string, more: Partial<SourceCheckOptions> = {}): Promise<unknown> =>
    checkSource(await optionsFor(db, { table, ...more })).catch((error: WalpostError) => error.remedy);
  const first = { db: await db.client(), publication: 'new', table: 'nowhere.events' };
  expect(await ensurePublication(first)).toBe(false); // and not an error that would be tried again for ever
  await db.query('CREATE TABLE app.invoices ()');
  expect(await remedy('public.Invoices')).toBe('Set source.table to app.invoices, or create the table.');
  expect(await remedy('app.invoics')).toBe('Set source.table to app.invoices, or create the table.');
  expect(await remedy('invoices')).toBe('Set source.table to app.invoices, or create the table.');
  expect(await remedy('app.nothing_like_it')).toBe('Create it, or correct source.table.');
  expect(await remedy('nothing_like_it')).toBe('Create it, or correct source.table, which is written schema.table.');
  expect(await remedy('walpost.outbox')).toBe('Run `walpost migrate`, which makes it or says why not.');
  expect(await remedy(CONFIGURED, { columns: ['org'] })).toBe(
    'Name columns that it has in source.columns, or null for a field that has none.',
  );
  const lacking = checkSource(await optionsFor(db, { columns: ['id', 'Type', 'org'] }));
  await expect(lacking).rejects.toMatchObject({ code: 'SOURCE_TABLE' });
  await expect(lacking).rejects.toThrow('no column "Type", "org"; it has id, type, payload');
});

describe('the publication', () => {
  test('is not blamed for a table that changes between two statements', async () => {
    await using db = await createSource();
    const options = await optionsFor(db);
    await ensurePublication(options);
    const client = options.db;
    const changing = (change: string): SourceCheckOptions['db'] => {
      let isOver = false;
      return {
        query: async (text, values) => {
          if (text.includes('FROM pg_publication p') && !isOver) {
            isOver = true;
            await db.query(change);
          }
          return client.query(text, values);
        },
      };
    };
    const unlogged = changing(`ALTER PUBLICATION events DROP TABLE ${QUOTED}; ALTER TABLE ${QUOTED} SET UNLOGGED`);
    await expect(checkSource({ ...options, db: unlogged })).rejects.toMatchObject({ code: 'SOURCE_UNLOGGED' });
    await db.query(`ALTER TABLE ${QUOTED} SET LOGGED; ALTER PUBLICATION events ADD TABLE ${QUOTED}`);
    const renamed = changing(`ALTER TABLE ${QUOTED} RENAME TO other`);
    await expect(checkSource({ ...options, db: renamed })).rejects.toMatchObject({ code: 'SOURCE_TABLE' });
  });

  test('missing: the remedy is a statement that works', async () => {
    await using db = await createSource();
    const error = await checkSource(await optionsFor(db)).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'PUBLICATION_MISSING', policy: 'operator' });
    await db.query((error as { remedy: string }).remedy);
    await checkSource(await optionsFor(db));
  });

  test('made for a mapped table, once', async () => {
    await using db = await createSource();
    const options = await optionsFor(db);
    expect(await ensurePublication(options)).toBe(true);
    expect(await ensurePublication(options)).toBe(false);
    await checkSource(options);
    const rows = await db.query('SELECT pubinsert, pubupdate, pubviaroot FROM pg_publication');
    expect(rows).toEqual([{ pubinsert: true, pubupdate: false, pubviaroot: true }]);
  });

  test.each([
    ['does not hold the table', `CREATE PUBLICATION events`],
    ['does not publish inserts', `CREATE PUBLICATION events FOR TABLE ${QUOTED} WITH (publish = 'update')`],
    ['leaves a column out', `CREATE PUBLICATION events FOR TABLE ${QUOTED} (id, payload)`],
  ])('%s: the remedy is a statement that works', async (_what, sql) => {
    await using db = await createSource();
    await db.query(sql);
    const error = await checkSource(await optionsFor(db)).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'PUBLICATION_TABLE', policy: 'operator' });
    await db.query((error as { remedy: string }).remedy);
    await checkSource(await optionsFor(db));
  });

  test('a partitioned table needs its root, and the remedy works', async () => {
    await using db = await createSource('PARTITION BY RANGE (id)');
    await db.query(`CREATE TABLE app.part PARTITION OF ${QUOTED} FOR VALUES FROM (0) TO (100)`);
    await db.query(`CREATE PUBLICATION events FOR TABLE ${QUOTED}`);
    const error = await checkSource(await optionsFor(db)).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'PUBLICATION_TABLE' });
    await db.query((error as { remedy: string }).remedy);
    await checkSource(await optionsFor(db));
  });

  test.each(['CREATE PUBLICATION events FOR ALL TABLES', 'CREATE PUBLICATION events FOR TABLES IN SCHEMA app'])(
    'is fine as: %s',
    async (sql) => {
      await using db = await createSource();
      await db.query(sql);
      await checkSource(await optionsFor(db));
    },
  );
});

describe('as a role with few rights', () => {
  let db: TestDatabase;
  let role: string;
  let client: pg.Client;

  beforeEach(async () => {
    db = await createSource();
    role = `r_${db.name}`;
    await db.query(`CREATE ROLE ${role}`);
    client = await db.client();
    await client.query(`SET ROLE ${role}`);
    return async () => {
      await db.query(`DROP OWNED BY ${role}`);
      await db.query(`DROP ROLE ${role}`);
      await db[Symbol.asyncDispose]();
    };
  });

  test('may not make the publication: the owner is told how', async () => {
    const refused = ensurePublication({ db: client, publication: 'events', table: CONFIGURED });
    await expect(refused).rejects.toMatchObject({
      code: 'PUBLICATION_MISSING',
      remedy: expect.stringContaining(`CREATE PUBLICATION "events" FOR TABLE ${QUOTED}`) as string,
    });
  });

  test('may not read the table', async () => {
    const options = { ...(await optionsFor(db)), db: client };
    await ensurePublication(await optionsFor(db));
    const error = await checkSource(options).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'PERMISSION_DENIED', policy: 'operator' });
    await db.query(`GRANT USAGE ON SCHEMA app TO ${role}`);
    await expect(checkSource(options)).rejects.toMatchObject({ code: 'PERMISSION_DENIED' });
    await db.query(`GRANT SELECT ON ${QUOTED} TO ${role}`);
    await checkSource(options);
  });

  test('row-level security that hides rows is refused, until a policy shows them all', async () => {
    const options = { ...(await optionsFor(db)), db: client };
    await ensurePublication(await optionsFor(db));
    await db.query(`GRANT USAGE ON SCHEMA app TO ${role}`);
    await db.query(`GRANT SELECT ON ${QUOTED} TO ${role}`);
    await db.query(`ALTER TABLE ${QUOTED} ENABLE ROW LEVEL SECURITY`);
    await db.query(`CREATE POLICY few ON ${QUOTED} USING (id > 10)`);
    const error = await checkSource(options).catch((reason: unknown) => reason);
    expect(error).toMatchObject({ code: 'ROW_SECURITY', policy: 'operator' });
    const [policy = ''] = (error as { remedy: string }).remedy.split(' or ');
    await db.query(policy);
    await checkSource(options);
    await db.query(`CREATE POLICY not_all ON ${QUOTED} AS RESTRICTIVE FOR SELECT USING (id > 10)`);
    await expect(checkSource(options)).rejects.toMatchObject({ code: 'ROW_SECURITY' });
    await db.query(`ALTER ROLE ${role} BYPASSRLS`);
    await checkSource(options);
  });
});

test('an unlogged table is said before anything that may be mended with it, for nothing shows it afterwards', async () => {
  await using db = await createSource();
  const role = `r_${db.name}`;
  await db.query(`CREATE ROLE ${role}; ALTER TABLE ${QUOTED} SET UNLOGGED`);
  try {
    const client = await db.client();
    await client.query(`SET ROLE ${role}`);
    const unlogged = async (more: Partial<SourceCheckOptions> = {}) =>
      expect(checkSource({ ...(await optionsFor(db)), db: client, ...more })).rejects.toMatchObject({
        code: 'SOURCE_UNLOGGED',
      });
    await unlogged(); // no right to read, and no publication
    await unlogged({ columns: ['nothing'] });
    await db.query(`GRANT USAGE ON SCHEMA app TO ${role}; GRANT SELECT ON ${QUOTED} TO ${role}`);
    await db.query(`ALTER TABLE ${QUOTED} ENABLE ROW LEVEL SECURITY`);
    await unlogged();
    await db.query(`ALTER TABLE ${QUOTED} SET LOGGED`);
    await expect(checkSource({ ...(await optionsFor(db)), db: client })).rejects.toMatchObject({
      code: 'ROW_SECURITY',
    });
  } finally {
    await db.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});

test('the table of the schema walpost, as its migrations leave it', async () => {
  await using db = await createTestDatabase();
  await checkSource({
    db: await db.client(),
    publication: 'walpost',
    table: 'walpost.outbox',
    columns: ['event_id', 'organization_id', 'payload'],
    plugin: 'pgoutput',
    slot: 'events',
  });
});
