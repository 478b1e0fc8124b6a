/**
 * What keeps rows out of the stream. It is read from the table where it was put right before anybody looked; else it ends
 * the relay with an error whose remedy, carried out to the letter, brings the rest.
 */
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import type { ErrorCode, WalpostError } from '../../src/errors.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { startServer } from '../support/server.ts';
import { type Outbox, type Step, TableScene } from './table-scene.ts';
import { poll } from '../support/slot-session.ts';

let server: EmbeddedPostgres;
beforeAll(async () => {
  server = await startServer('17', { settings: { max_connections: '200' } });
});
afterAll(() => server[Symbol.asyncDispose]());

interface Case {
  readonly what: string;
  readonly outbox?: Outbox;
  readonly steps: readonly Step[];
}

/** So that no check of the relay finds the state between the steps. A step that begins a transaction stays one of its own. */
function inOneMessage(steps: readonly Step[]): readonly Step[] {
  const texts = steps.filter((step) => typeof step === 'string');
  const sql = texts.join('; ');
  if (sql.includes('partition_outbox')) return steps;
  if (!/\bBEGIN\b/.test(sql)) return [sql];
  return [`DO $$ BEGIN ${texts.map((text) => text.replace(/^BEGIN; |; COMMIT$/g, '')).join('; COMMIT; ')}; END $$`];
}

/** Rows that are not in the stream, put right before anybody looked: they are read from the table. */
const CATCHES_UP: readonly Case[] = [
  {
    what: 'the table leaves the publication and comes back',
    steps: [
      'ALTER PUBLICATION walpost DROP TABLE {table}',
      'BEGIN; {event}; {event}; COMMIT',
      'ALTER PUBLICATION walpost ADD TABLE {table}',
    ],
  },
  {
    what: 'the publication is without inserts for a while',
    steps: [
      `ALTER PUBLICATION walpost SET (publish = 'update')`,
      '{event}',
      `ALTER PUBLICATION walpost SET (publish = 'insert')`,
    ],
  },
  {
    what: 'the publication is dropped and made again',
    steps: [
      'DROP PUBLICATION walpost',
      '{event}',
      `CREATE PUBLICATION walpost FOR TABLE {table} WITH (publish = 'insert')`,
    ],
  },
  {
    what: 'the schema leaves the publication and comes back',
    outbox: 'mapped schema',
    steps: [
      'ALTER PUBLICATION shop DROP TABLES IN SCHEMA shop',
      '{event}',
      'ALTER PUBLICATION shop ADD TABLES IN SCHEMA shop',
    ],
  },
  {
    what: 'the table is dropped, and made again under its name',
    outbox: 'mapped',
    steps: [
      'CREATE TABLE shop.next (LIKE {table} INCLUDING ALL); DROP TABLE {table}; ALTER TABLE shop.next RENAME TO outbox',
      '{event}',
      'ALTER PUBLICATION shop ADD TABLE {table}',
    ],
  },
  { what: 'the outbox is partitioned', steps: ['BEGIN; {event}; COMMIT', 'SELECT walpost.partition_outbox()', 2] },
];

describe.concurrent('what the stream missed is read from the table:', () => {
  test.for(CATCHES_UP)('$what', async ({ outbox, steps }) => {
    await using scene = await TableScene.set(server.url(), outbox);
    await scene.take([3]);
    await scene.settled();
    await scene.take([...inOneMessage(steps), 3]);
    expect((await scene.settled()).dead).toEqual([]);
  });

  test.for(CATCHES_UP)('$what, and the relay was killed before it saw that', async ({ outbox, steps }) => {
    await using scene = await TableScene.set(server.url(), outbox);
    await scene.take([3]);
    await scene.settled();
    await scene.relay[Symbol.asyncDispose]();
    await scene.take([...steps, 3]);
    await scene.restart();
    expect((await scene.settled()).dead).toEqual([]);
  });
});

interface Stop extends Case {
  readonly code: ErrorCode;
  readonly source?: object;
  /** What a person does where the remedy of the error is no statement. */
  readonly remedy?: readonly Step[];
  /** What is done after the remedy. */
  readonly afterwards?: readonly Step[];
  /** Rows that arrive before anybody looks cannot be read, and are stored as they are. */
  readonly poison?: boolean;
}

const FOREIGN = 'CREATE EXTENSION postgres_fdw; CREATE SERVER other FOREIGN DATA WRAPPER postgres_fdw';

const STOPS: readonly Stop[] = [
  {
    what: 'the table leaves the publication',
    code: 'PUBLICATION_TABLE',
    steps: ['ALTER PUBLICATION walpost DROP TABLE {table}', 2],
  },
  {
    what: 'the publication has updates only',
    code: 'PUBLICATION_TABLE',
    steps: [`ALTER PUBLICATION walpost SET (publish = 'update')`, 2],
  },
  {
    what: 'the publication leaves out a column',
    code: 'PUBLICATION_TABLE',
    outbox: 'mapped',
    steps: ['ALTER PUBLICATION shop SET TABLE {table} (id, org, kind)', 2],
    poison: true,
  },
  {
    what: 'the publication names the partitions',
    code: 'PUBLICATION_TABLE',
    outbox: 'partitioned',
    steps: ['ALTER PUBLICATION walpost SET (publish_via_partition_root = false)', 2],
  },
  {
    what: 'the publication has a row filter',
    code: 'PUBLICATION_TABLE',
    outbox: 'mapped',
    steps: [`ALTER PUBLICATION shop SET TABLE {table} WHERE (topic = 'other')`, 2],
  },
  {
    what: 'a table inherits from it, and is written to',
    code: 'SOURCE_DIVERTED',
    outbox: 'mapped',
    steps: [
      'CREATE TABLE shop.child () INHERITS (shop.outbox)',
      2,
      "INSERT INTO shop.child (id, org, kind, body, seq) SELECT gen_random_uuid(), gen_random_uuid(), 'of.child', '{}', 0",
      1,
    ],
  },
  {
    what: 'a mapped column is generated',
    code: 'PUBLICATION_TABLE',
    outbox: 'mapped',
    steps: [
      'ALTER TABLE {table} DROP COLUMN body, ADD COLUMN body text GENERATED ALWAYS AS (note) STORED',
      { payload: 'note' },
      2,
    ],
    afterwards: [{ payload: 'body' }],
    poison: true,
  },
  {
    what: 'the table is a partition, and its root is published too',
    code: 'PUBLICATION_TABLE',
    outbox: 'mapped partitioned',
    source: { table: 'shop.late' },
    steps: ['ALTER PUBLICATION shop ADD TABLE shop.outbox', 2],
  },
  {
    what: 'a partition is a foreign table',
    code: 'SOURCE_DIVERTED',
    outbox: 'mapped partitioned',
    steps: [
      `${FOREIGN}; DROP TABLE shop.early`,
      `CREATE FOREIGN TABLE shop.early PARTITION OF shop.outbox FOR VALUES FROM (MINVALUE) TO ('2020-01-01') SERVER other`,
      2,
    ],
  },
  {
    what: 'a foreign table has taken the place of the table',
    code: 'SOURCE_TABLE',
    outbox: 'mapped',
    steps: [
      `${FOREIGN}; ALTER TABLE {table} RENAME TO kept; CREATE FOREIGN TABLE shop.outbox (id uuid) SERVER other`,
      { table: 'shop.kept' },
      2,
    ],
    remedy: ['DROP FOREIGN TABLE shop.outbox; ALTER TABLE shop.kept RENAME TO outbox', { table: 'shop.outbox' }],
  },
  {
    what: 'a rule does something else instead of the insert',
    code: 'SOURCE_DIVERTED',
    outbox: 'mapped',
    steps: ['{event}', `CREATE RULE other AS ON INSERT TO shop.outbox WHERE NEW.topic = 'other' DO INSTEAD NOTHING`, 2],
  },
  {
    what: 'a view has taken the place of the table',
    code: 'SOURCE_TABLE',
    outbox: 'mapped',
    steps: [
      'ALTER TABLE {table} RENAME TO kept; CREATE VIEW shop.outbox AS SELECT * FROM shop.kept',
      { table: 'shop.kept' },
      2,
    ],
    remedy: ['DROP VIEW shop.outbox; ALTER TABLE shop.kept RENAME TO outbox', { table: 'shop.outbox' }],
  },
  { what: 'the publication is dropped', code: 'PUBLICATION_MISSING', steps: ['DROP PUBLICATION walpost'] },
  {
    what: 'the publication is dropped, and then rows are written',
    code: 'PUBLICATION_MISSING',
    steps: ['DROP PUBLICATION walpost', 2],
  },
  {
    what: 'a partition is unlogged',
    code: 'SOURCE_UNLOGGED',
    outbox: 'mapped partitioned',
    steps: ['ALTER TABLE shop.late SET UNLOGGED', 2],
  },
  {
    what: 'a partition that is unlogged is attached',
    code: 'SOURCE_UNLOGGED',
    outbox: 'mapped partitioned',
    steps: [
      'DROP TABLE shop.late; CREATE UNLOGGED TABLE shop.late (LIKE shop.outbox INCLUDING ALL EXCLUDING IDENTITY)',
      `ALTER TABLE shop.outbox ATTACH PARTITION shop.late FOR VALUES FROM ('2020-01-01') TO (MAXVALUE)`,
      2,
    ],
  },
  {
    what: 'the table of a schema that is published is unlogged',
    code: 'SOURCE_UNLOGGED',
    outbox: 'mapped schema',
    steps: ['ALTER TABLE {table} SET UNLOGGED', 2],
  },
  {
    what: 'the column of the payload has another name',
    code: 'SOURCE_TABLE',
    outbox: 'mapped',
    steps: ['ALTER TABLE {table} RENAME COLUMN body TO content', { payload: 'content' }, 2],
    remedy: ['ALTER TABLE {table} RENAME COLUMN content TO body', { payload: 'body' }],
    poison: true,
  },
  {
    what: 'a mapped column is dropped',
    code: 'SOURCE_TABLE',
    outbox: 'mapped',
    steps: ['ALTER TABLE {table} DROP COLUMN topic', 2],
    remedy: [`ALTER TABLE {table} ADD COLUMN topic text DEFAULT 'default'`],
  },
  {
    what: 'the table has another name',
    code: 'SOURCE_TABLE',
    outbox: 'mapped',
    steps: ['ALTER TABLE {table} RENAME TO other', { table: 'shop.other' }, 2],
    remedy: ['ALTER TABLE {table} RENAME TO outbox', { table: 'shop.outbox' }],
  },
  {
    what: 'the table is in another schema',
    code: 'SOURCE_TABLE',
    outbox: 'mapped',
    steps: ['ALTER TABLE {table} SET SCHEMA public', { table: 'public.outbox' }, 2],
    remedy: ['ALTER TABLE {table} SET SCHEMA shop', { table: 'shop.outbox' }],
  },
  {
    what: 'the table is dropped',
    code: 'SOURCE_TABLE',
    outbox: 'mapped',
    steps: ['CREATE TABLE shop.next (LIKE {table} INCLUDING ALL); DROP TABLE {table}'],
    remedy: ['ALTER TABLE shop.next RENAME TO outbox; ALTER PUBLICATION shop ADD TABLE {table}'],
  },
];

describe.concurrent(
  'ends with an error, starts again only when its remedy was carried out, and nothing is lost:',
  () => {
    test.for(STOPS)('$what', async ({ outbox, code, source = {}, steps, remedy, afterwards = [], poison = false }) => {
      await using scene = await TableScene.set(server.url(), outbox, { source });
      await scene.take([3, ...steps]);
      const error = await scene.stops();
      expect(error).toMatchObject({ code, policy: 'operator' });
      await expect(scene.restart()).rejects.toMatchObject({ code });
      await scene.take([...(remedy ?? [error.remedy.split(';')[0] ?? '']), ...afterwards, 3]);
      await scene.restart();
      const { dead } = await scene.settled();
      expect(scene.log.events.filter(({ event_id }) => !scene.written.includes(event_id))).toEqual([]);
      expect(new Set(dead)).toEqual(new Set(poison ? ['poison'] : []));
      await scene.relay.streams();
    });
  },
);

test.for([
  { before: 'the relay was started', known: true },
  { before: 'the first start since an upgrade', known: false },
])('a partition that was unlogged before $before is read from the table, once it is logged', async ({ known }) => {
  await using scene = await TableScene.set(server.url(), 'mapped partitioned');
  await scene.take([3]);
  await scene.settled();
  await scene.relay.stop();
  if (!known) await scene.take(['UPDATE walpost.cursor SET source = NULL']);
  await scene.take(['ALTER TABLE shop.late SET UNLOGGED', 2]);
  await expect(scene.restart()).rejects.toMatchObject({ code: 'SOURCE_UNLOGGED' });
  await scene.take(['ALTER TABLE shop.late SET LOGGED', 3]);
  await scene.restart();
  expect((await scene.settled()).dead).toEqual([]);
});

test('a transaction that was open during the change, and commits late, is waited for', async () => {
  await using scene = await TableScene.set(server.url());
  await scene.take([3]);
  await scene.settled();
  const late = await scene.other();
  await late(['BEGIN; SELECT pg_current_xact_id()']);
  await scene.take(['ALTER PUBLICATION walpost DROP TABLE {table}']);
  await late(['{event}']);
  await scene.take(['ALTER PUBLICATION walpost ADD TABLE {table}', 2]);
  await scene.says('SOURCE_CHANGED');
  expect(await scene.database.query('SELECT FROM walpost.jobs')).toEqual([]);
  await late(['{event}; COMMIT']);
  expect((await scene.settled()).dead).toEqual([]);
});

test('a table that cannot be read again ends the relay, until it can be', async () => {
  await using scene = await TableScene.set(server.url(), 'mapped');
  await scene.take([3]);
  await scene.settled();
  await scene.take(['ALTER TABLE {table} DROP COLUMN seq']);
  await scene.take(['ALTER PUBLICATION shop DROP TABLE {table}; ALTER PUBLICATION shop ADD TABLE {table}']);
  const error = await scene.stops();
  expect(error).toMatchObject({ code: 'SCAN_COLUMNS', policy: 'operator' });
  expect(error.message).toContain('the stream may lack rows');
  await scene.take([error.remedy.split(';')[0] ?? '', 3]);
  await scene.restart();
  expect((await scene.settled()).dead).toEqual([]);
});

test.each([
  ['row-level security that hides rows from scans', 'ROW_SECURITY', 'DROP POLICY walpost_relay ON {table}'],
  ['a right to read the table that is taken away', 'PERMISSION_DENIED', 'REVOKE SELECT ON {table} FROM walpost_relay'],
])('%s is said once, and delivery goes on; the next start refuses', async (_what, code, change) => {
  await using scene = await TableScene.set(server.url(), 'walpost', { role: true });
  await scene.take([3, change]);
  await scene.says(code);
  await scene.take([3]);
  expect(await scene.settled()).toEqual({ repeated: 0, undone: 0, dead: [] });
  expect(scene.relay.lines.filter((line) => line.includes(`"${code}"`))).toHaveLength(1);
  const error = (await scene.restart().catch((reason: unknown) => reason)) as WalpostError;
  expect(error).toMatchObject({ code, policy: 'operator' });
  await scene.take([error.remedy.split(';')[0] ?? '']);
  await scene.restart();
  await scene.take([1]);
  expect((await scene.settled()).dead).toEqual([]);
});

// Postgres 18 passes such a row without a word.
test('a slot that stands before a row that it cannot pass is given up only with consent', async () => {
  await using scene = await TableScene.set(server.url());
  await scene.take([3]);
  await scene.settled();
  await scene.relay.stop();
  await scene.take([
    'DROP PUBLICATION walpost',
    2,
    `CREATE PUBLICATION walpost FOR TABLE {table} WITH (publish = 'insert')`,
  ]);
  await using careful = new RelayInProcess({
    database: scene.database,
    sinks: scene.log.sinks,
    source: { on_slot_lost: 'stop' },
  });
  expect(await careful.ended).toMatchObject({ code: 'SLOT_STUCK', policy: 'operator' });
  await scene.restart();
  expect((await scene.settled()).dead).toEqual([]);
  const jobs = (): Promise<unknown[]> => scene.database.query('SELECT kind, state FROM walpost.jobs');
  await poll(
    'the healing is done',
    async () => ((await jobs())[0] as { state: string }).state !== 'running' || undefined,
  );
  expect(await jobs()).toEqual([{ kind: 'heal', state: 'done' }]);
});
