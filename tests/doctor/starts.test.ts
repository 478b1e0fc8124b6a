/** What `walpost run` would end with at its start: doctor names it before, and following its remedy it is gone. */
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import { startServer } from '../support/server.ts';
import { databaseUrl } from '../support/database.ts';
import { onServer, startStandby } from '../support/standby.ts';
import { type ExamineOptions, HEALTHY_SETTINGS, Installation } from './installation.ts';
import { mappedSource } from '../support/mapped-source.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

/** A table of an application. */
const SHOP = mappedSource();
const COLUMNS = 'id uuid, org uuid, kind text, body json, head integer';
const PUBLISH = `CREATE PUBLICATION shop FOR TABLE shop.outbox WITH (publish = 'insert', publish_via_partition_root = true)`;
const TABLE = `CREATE TABLE shop.outbox (${COLUMNS}); ${PUBLISH}`;
const ROW = `INSERT INTO shop.outbox VALUES (gen_random_uuid(), gen_random_uuid(), 'sold', '{}')`;
/** The shop is a source beside the outbox; LOGIN is the login of the relay. */
const SCHEMA = 'CREATE SCHEMA shop; GRANT USAGE ON SCHEMA shop TO LOGIN';
const READ = 'GRANT SELECT ON shop.outbox TO LOGIN';

let server: Awaited<ReturnType<typeof startServer>>;
beforeAll(async () => {
  server = await startServer('17', { settings: HEALTHY_SETTINGS });
});
afterAll(() => server[Symbol.asyncDispose]());

interface Found {
  readonly subject: string;
  readonly what: string;
  readonly remedy: string;
}

/** The finding of this code, which the examination must have. */
async function finding(installation: Installation, code: string, options: ExamineOptions = {}): Promise<Found> {
  const { findings } = await installation.examine(options);
  expect(findings.map((each) => each.code)).toContain(code);
  const found = findings.find((each) => each.code === code);
  return { subject: found?.subject ?? '', what: found?.what ?? '', remedy: found?.remedy ?? '' };
}

async function expectGone(installation: Installation, code: string, options: ExamineOptions = {}): Promise<void> {
  const { findings } = await installation.examine(options);
  expect(findings.map((each) => each.code)).not.toContain(code);
}

async function sql({ database, login }: Installation, text: string): Promise<void> {
  for (const statement of text.replaceAll(/\bLOGIN\b/g, login.name).split(/;\s+/)) await database.query(statement);
}

const slotOf = async ({ database }: Installation): Promise<string> =>
  (await database.query<{ slot: string }>('SELECT slot FROM walpost.cursor'))[0]?.slot ?? '';

describe('a table of an application', () => {
  test.each([
    {
      code: 'SOURCE_COLUMN',
      plant: `${TABLE}; ${READ}`,
      source: { ...SHOP, columns: { ...SHOP.columns, headers: 'head' } },
      says: /The column "head" of shop\.outbox is integer, and headers can be jsonb, json/,
      mend: /ALTER TABLE "shop"."outbox" ALTER COLUMN "head" TYPE jsonb USING …;/,
    },
    {
      code: 'SOURCE_UNLOGGED',
      plant: `CREATE UNLOGGED TABLE shop.outbox (${COLUMNS}); ${READ}`,
      source: SHOP,
      says: /shop\.outbox is unlogged or temporary/,
      mend: /ALTER TABLE shop\.outbox SET LOGGED;/,
    },
    {
      code: 'PERMISSION_DENIED',
      plant: `${TABLE}; REVOKE USAGE ON SCHEMA shop FROM LOGIN`,
      source: SHOP,
      says: /Role "r_\w+" may not read shop\.outbox/,
      mend: /GRANT USAGE ON SCHEMA "shop" TO "r_\w+"; GRANT SELECT ON "shop"."outbox" TO "r_\w+";/,
    },
  ])('$code: the statement of the remedy mends it', async ({ code, plant, source, says, mend }) => {
    await using installation = await Installation.open({ server: server.url(), started: false });
    await sql(installation, `${SCHEMA}; ${plant}`);
    const found = await finding(installation, code, { source });
    expect(found.subject).toBe('shop.outbox');
    expect(found.what).toMatch(says);
    const [statements = ''] = mend.exec(found.remedy) ?? [];
    expect(statements).not.toBe('');
    await sql(installation, statements.replace('…', 'to_jsonb(head)').replace(/;$/, ''));
    await expectGone(installation, code, { source });
  });

  test('EXISTING_ROWS: source.existing says what is to become of them', async () => {
    await using installation = await Installation.open({ server: server.url(), started: false });
    await sql(installation, `${SCHEMA}; ${TABLE}; ${READ}; ${ROW}; ${ROW}`);
    const found = await finding(installation, 'EXISTING_ROWS', { source: SHOP });
    expect(found).toMatchObject({ subject: 'shop.outbox', what: expect.stringContaining('shop.outbox has 2 rows.') });
    expect(found.remedy).toContain('`walpost run --set source.existing=skip`');
    const relay = await installation.relay({ ...SHOP, existing: 'skip' });
    await relay.stop();
    await expectGone(installation, 'EXISTING_ROWS', { source: SHOP });
  });

  test('PLUGIN_PARTITIONS: with pgoutput the rows of partitions come under the name of the table', async () => {
    await using installation = await Installation.open({ server: server.url(), started: false });
    const partitioned = `CREATE TABLE shop.outbox (${COLUMNS}) PARTITION BY LIST (kind); CREATE TABLE shop.others PARTITION OF shop.outbox DEFAULT`;
    await sql(installation, `${SCHEMA}; ${partitioned}; ${PUBLISH}; ${READ}`);
    const found = await finding(installation, 'PLUGIN_PARTITIONS', { source: { ...SHOP, plugin: 'wal2json' } });
    expect(found).toMatchObject({ subject: 'shop.outbox', what: expect.stringContaining('The table is shop.outbox') });
    expect(found.remedy).toContain('Set source.plugin to pgoutput');
    await expectGone(installation, 'PLUGIN_PARTITIONS', { source: { ...SHOP, plugin: 'pgoutput' } });
  });

  test('SLOT_OTHER_SOURCE: without the name of the slot of another table it has one of its own', async () => {
    await using installation = await Installation.open({ server: server.url() });
    await sql(installation, `${SCHEMA}; ${TABLE}; ${READ}`);
    const slot = await slotOf(installation);
    const found = await finding(installation, 'SLOT_OTHER_SOURCE', { source: { ...SHOP, slot } });
    expect(found).toMatchObject({ subject: 'shop.outbox', what: expect.stringContaining(`"${slot}" is not that of`) });
    expect(found.remedy).toContain('Choose another name in source.slot, or leave it out');
    const relay = await installation.relay(SHOP);
    await relay.stop();
    await expectGone(installation, 'SLOT_OTHER_SOURCE', { source: SHOP });
  });
});

describe('a slot', () => {
  test('SLOT_OTHER_DATABASE: the name is left out, and the start makes a slot of its own', async () => {
    await using other = await Installation.open({ server: server.url() });
    await using installation = await Installation.open({ server: server.url(), started: false });
    const slot = await slotOf(other);
    const found = await finding(installation, 'SLOT_OTHER_DATABASE', { source: { slot } });
    expect(found).toMatchObject({ subject: 'walpost.outbox', what: expect.stringContaining(`It is "${slot}"`) });
    expect(found.remedy).toContain('or leave it out: nothing is lost by that');
    const relay = await installation.relay();
    await relay.stop();
    await expectGone(installation, 'SLOT_OTHER_DATABASE');
  });

  test('SLOT_OTHER_PLUGIN: the plugin of the slot is named, and set', async () => {
    await using installation = await Installation.open({ server: server.url() });
    const slot = await slotOf(installation);
    const found = await finding(installation, 'SLOT_OTHER_PLUGIN', { source: { plugin: 'wal2json' } });
    expect(found.subject).toBe(`slot ${slot}`);
    expect(found.remedy).toContain('Set source.plugin to the plugin of the slot');
    const [, plugin] = /was made for "(\w+)"/.exec(found.what) ?? [];
    await expectGone(installation, 'SLOT_OTHER_PLUGIN', { source: { plugin } });
  });

  test('CURSOR_AHEAD: a start makes the slot again, and the cursor is not ahead any more', async () => {
    await using installation = await Installation.open({ server: server.url() });
    await sql(installation, `UPDATE walpost.cursor SET lsn = 'FF/0'`);
    const found = await finding(installation, 'CURSOR_AHEAD');
    expect(found.subject).toBe(`slot ${await slotOf(installation)}`);
    expect(found.what).toContain('The cursor is at FF/0');
    expect(found.remedy).toContain('Start `walpost run`: it makes the slot again');
    const relay = await installation.relay();
    await relay.stop();
    await expectGone(installation, 'CURSOR_AHEAD');
  });
});

test('HOT_STANDBY: the standby is named, and once it is promoted it is none', async () => {
  await using primary = await startServer('17', { settings: HEALTHY_SETTINGS });
  // Its sessions would keep the primary from being stopped, so it is opened once the standby is there.
  await using standby = await startStandby(primary, primary.port);
  await using installation = await Installation.open({ server: primary.url(), started: false });
  const url = new URL(databaseUrl(standby.url(), installation.database.name));
  [url.username, url.password] = [installation.login.name, 'role'];
  await vi.waitFor(async () => expect((await installation.examine({ url: url.href })).ran).toContain('login'), 10_000);
  const found = await finding(installation, 'HOT_STANDBY', { url: url.href });
  expect(found).toMatchObject({ subject: 'server 127.0.0.1', what: expect.stringContaining('pg_is_in_recovery()') });
  expect(found.remedy).toMatch(/^Name the primary in database\.url, or promote/);
  await expectGone(installation, 'HOT_STANDBY');
  await onServer(standby, (client) => client.query('SELECT pg_promote()'));
  await expectGone(installation, 'HOT_STANDBY', { url: url.href });
});
