/** Payloads as Debezium's outbox event router sends them, by either plugin and from the table. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import { createDecoder } from '../../src/decoder/create-decoder.ts';
import { pgoutputOptions, wal2jsonOptions } from '../../src/decoder/start-options.ts';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import type { Event, Poison } from '../../src/event.ts';
import { outboxTable } from '../../src/relay/outbox-reader.ts';
import { wireToText } from '../../src/wire-text.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { debianPostgresMissing, startDebianPostgres } from '../support/debian-postgres.ts';
import { createDecodedSlot } from '../support/decoded-slot.ts';
import { beginPlain } from '../support/plain-origin.ts';

const TABLE = 'app.outbox';
const base64 = (text: string): string => JSON.stringify(Buffer.from(text).toString('base64'));

/** What is written, and what is sent; null is SQL NULL. */
const TEXTS: readonly (readonly [string | null, string])[] = [
  ['{"n": 0.10, "big": 12345678901234567890}', '{"n": 0.10, "big": 12345678901234567890}'],
  ['[1, "größe"]', '[1, "größe"]'],
  ['  {"a":\n1}', '  {"a": 1}'],
  ['{broken', '"{broken"'],
  ['plain "größe"', String.raw`"plain \"größe\""`],
  ['17', '"17"'],
  ['', '""'],
  [null, 'null'],
];
const PAYLOADS: Readonly<Record<string, readonly (readonly [string | null, string])[]>> = {
  text: TEXTS,
  varchar: TEXTS,
  bytea: TEXTS.map(([written, sent]) => [
    written,
    written === null || /^\W*[[{](?!b)/.test(written) ? sent : base64(written),
  ]),
  jsonb: [
    ['{"a": 1}', '{"a": 1}'],
    ['"{}"', '"{}"'],
    [null, 'null'],
  ],
};

const source = (plugin: string) =>
  configSchema.parse({
    database: { url: 'postgres://x' },
    source: { table: TABLE, publication: 'mine', preset: 'debezium', columns: { organization_id: 'tenant' }, plugin },
    sinks: { log: { type: 'stdout' } },
    routes: [{ to: ['log'] }],
  }).source;

/** The payload of an event, or why it is none. */
const said = (step: Event | Poison): string => (step.kind === 'event' ? wireToText(step.payload) : step.reason);

async function fromTable(database: TestDatabase): Promise<string[]> {
  const client = await database.client();
  const types = { getTypeParser: () => (value: string) => value };
  const columns = 'id, tenant, aggregatetype, aggregateid, type, payload';
  const { fields, rows } = await client.query<(string | null)[]>({
    text: `SELECT ${columns} FROM ${TABLE} ORDER BY id`,
    rowMode: 'array',
    types,
  });
  const read = outboxTable(source('pgoutput')).readerFor(fields.map(({ name, dataTypeID: type }) => ({ name, type })));
  return rows.map((row) => said(read(row, { commitLsn: 1n, xid: 1, committedAt: 0n } as never)));
}

const missing = await debianPostgresMissing();

describe.skipIf(missing)('the preset debezium', () => {
  let server: EmbeddedPostgres;
  beforeAll(async () => {
    server = await startDebianPostgres();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test.each(Object.entries(PAYLOADS))('a payload in %s', async (type, payloads) => {
    await using database = await createTestDatabase({ server: server.url(), migrated: false });
    await database.query(`
      CREATE SCHEMA app;
      CREATE TABLE ${TABLE} (id int, tenant int, aggregatetype text, aggregateid text, type text, payload ${type});
      CREATE PUBLICATION mine FOR TABLE ${TABLE} WITH (publish = 'insert')`);
    const pgoutput = await createDecodedSlot(database, {
      plugin: 'pgoutput',
      options: pgoutputOptions({ publication: 'mine' }),
    });
    const wal2json = await createDecodedSlot(database, {
      plugin: 'wal2json',
      options: wal2jsonOptions({ table: TABLE }),
    });
    const cast = type === 'bytea' ? `convert_to($2, 'UTF8')` : `$2::${type}`;
    for (const [index, [written]] of payloads.entries()) {
      await database.query(`INSERT INTO ${TABLE} VALUES ($1, 7, 'order', '1', 'placed', ${cast})`, [index, written]);
    }
    const expected = payloads.map(([, sent]) => sent);
    for (const [plugin, slot] of Object.entries({ pgoutput, wal2json })) {
      const steps = await slot.steps(createDecoder(source(plugin), { beginTransaction: beginPlain }));
      const rows = steps.filter((step) => step.kind === 'event' || step.kind === 'poison');
      expect({ plugin, said: rows.map(said) }).toEqual({ plugin, said: expected });
    }
    expect(await fromTable(database)).toEqual(expected);
  });

  test('bytes that are no text arrive in base64', async () => {
    await using database = await createTestDatabase({ server: server.url(), migrated: false });
    await database.query(`
      CREATE SCHEMA app;
      CREATE TABLE ${TABLE} AS SELECT 1 AS id, 7 AS tenant, 'order' AS aggregatetype, '1' AS aggregateid, 'placed' AS type,
                                      '\\x7bff'::bytea AS payload`);
    expect(await fromTable(database)).toEqual([JSON.stringify(Buffer.from([0x7b, 0xff]).toString('base64'))]);
  });
});
