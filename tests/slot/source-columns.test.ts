/** Columns whose type cannot carry their field: refused at the start, with the column's name. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { columnMapping } from '../../src/postgres/source/column-mapping.ts';
import { refuseColumnTypes } from '../../src/postgres/source/column-types.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';

const NAMES = { event_id: 'id', organization_id: 'tenant', event_type: 'kind', payload: 'body', headers: 'My Heads' };
const LEFT = { topic: null, entity_type: null, entity_id: null, target: null, idempotency_key: null };
const COLUMNS = { ...NAMES, ...LEFT, event_version: 'version', created_at: 'made' };

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(() => database[Symbol.asyncDispose]());

async function makeTable(types: Readonly<Record<string, string>>): Promise<void> {
  const { version, made, heads, body } = {
    version: 'int',
    made: 'timestamptz',
    heads: 'jsonb',
    body: 'jsonb',
    ...types,
  };
  await database.query(`
    CREATE SCHEMA app; CREATE DOMAIN app.heads AS jsonb CHECK (true); CREATE DOMAIN app.more AS app.heads; CREATE TYPE app.mood AS ENUM ('a');
    CREATE TABLE app.events (id uuid, tenant text, kind app.mood, version ${version}, made ${made}, "My Heads" ${heads}, body ${body},
                             created_xid xid8 DEFAULT pg_current_xact_id(), seq bigint GENERATED ALWAYS AS IDENTITY);
    CREATE PUBLICATION mine FOR TABLE app.events WITH (publish = 'insert')`);
}

async function check(
  types: Readonly<Record<string, string>>,
  plugin: 'pgoutput' | 'wal2json' = 'pgoutput',
): Promise<void> {
  await makeTable(types);
  const [row] = await database.query<{ id: number }>(`SELECT 'app.events'::regclass::oid AS id`);
  const mapping = columnMapping({ preset: 'walpost', columns: COLUMNS });
  const db = await database.client();
  await refuseColumnTypes({ db, table: 'app.events', tableId: row?.id ?? 0, mapping, plugin });
}

test.each([
  [{ heads: 'text' }, 'The column "My Heads" of app.events is text, and headers can be jsonb, json.'],
  [{ version: 'uuid' }, 'The column "version" of app.events is uuid, and event_version can be int4'],
  [{ version: 'app.mood' }, 'is app.mood, and event_version can be'],
  [{ made: 'bigint' }, 'The column "made" of app.events is bigint, and created_at can be timestamptz'],
  [{ made: 'date' }, 'is date, and created_at can be'],
])('%j is refused', async (types, text) => {
  await expect(check(types)).rejects.toMatchObject({
    code: 'SOURCE_COLUMN',
    message: expect.stringContaining(text),
    remedy: expect.stringMatching(
      /source\.columns\.\w+, or null .*ALTER TABLE "app"\."events" ALTER COLUMN "[\w ]+" TYPE /,
    ),
  });
});

test.each([
  {},
  { heads: 'app.more', made: 'varchar(40)', version: 'smallint' },
  { heads: 'json', made: 'timestamp', body: 'app.mood' },
])('%j is taken', async (types) => {
  await check(types);
});

test.each([{ body: 'app.mood' }, { heads: 'app.heads' }])('wal2json does not describe %j', async (types) => {
  await expect(check(types, 'wal2json')).rejects.toMatchObject({
    code: 'SOURCE_COLUMN',
    message: expect.stringContaining('which wal2json does not describe'),
  });
});

test('a relay does not start', async () => {
  await makeTable({ heads: 'text' });
  const source = { table: 'app.events', publication: 'mine', columns: COLUMNS };
  const starts = RelayInProcess.start({ database, sinks: { log: { type: 'discard' } }, source });
  await expect(starts).rejects.toMatchObject({ code: 'SOURCE_COLUMN', policy: 'operator' });
});
