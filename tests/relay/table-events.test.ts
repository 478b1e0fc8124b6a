/** What may happen to the table while a relay streams, and changes nothing: each event before, during and after arrives once. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';
import { type Outbox, type Step, TableScene } from './table-scene.ts';

let server: EmbeddedPostgres;
beforeAll(async () => {
  server = await startServer('17', { settings: { max_prepared_transactions: '20', max_connections: '200' } });
});
afterAll(() => server[Symbol.asyncDispose]());

interface Case {
  readonly what: string;
  readonly outbox?: Outbox;
  readonly steps: readonly Step[];
}

const nested = (depth: number): string =>
  Array.from({ length: depth }, (_, n) => `SAVEPOINT s${n}; {event};`).join(' ') +
  ` SAVEPOINT last; {undone}; ROLLBACK TO last;`;

/** Everything arrives once. */
const GOES_ON: readonly Case[] = [
  { what: 'a column is added, empty', steps: ['ALTER TABLE {table} ADD COLUMN note text', 2] },
  { what: 'a column is added, with a default', steps: ['ALTER TABLE {table} ADD COLUMN note int NOT NULL DEFAULT 7'] },
  {
    what: 'a column is added with a default that writes the table again',
    steps: ['ALTER TABLE {table} ADD COLUMN note uuid DEFAULT gen_random_uuid()'],
  },
  {
    what: 'a column is added, used and dropped inside a transaction that writes',
    steps: [
      'BEGIN; {event}; ALTER TABLE {table} ADD COLUMN note int; {event}; ALTER TABLE {table} DROP COLUMN note; {event}; COMMIT',
    ],
  },
  { what: 'a column that is not mapped is dropped', outbox: 'mapped', steps: ['ALTER TABLE {table} DROP COLUMN note'] },
  {
    what: 'the payload becomes jsonb, then text',
    outbox: 'mapped',
    steps: [
      'ALTER TABLE {table} ALTER COLUMN body TYPE jsonb',
      2,
      'ALTER TABLE {table} ALTER COLUMN body TYPE text',
      2,
    ],
  },
  { what: 'rows are updated', steps: [`UPDATE {table} SET payload = '{"other": 1}'`, 2] },
  { what: 'rows are deleted', steps: ['DELETE FROM {table}', 2] },
  {
    what: 'a row is written, updated and deleted in one transaction',
    steps: [`BEGIN; {event}; UPDATE {table} SET topic = 'x'; DELETE FROM {table}; {event}; COMMIT`],
  },
  {
    what: 'the table is truncated',
    steps: ['TRUNCATE {table}', 2, 'BEGIN; {event}; TRUNCATE {table}; {event}; COMMIT'],
  },
  {
    what: 'updates, deletes and truncates are published too',
    steps: [
      `ALTER TABLE {table} REPLICA IDENTITY FULL; ALTER PUBLICATION walpost SET (publish = 'insert, update, delete, truncate')`,
      `BEGIN; {event}; UPDATE {table} SET topic = 'x'; DELETE FROM {table}; COMMIT; TRUNCATE {table}`,
    ],
  },
  {
    what: 'the replica identity changes',
    steps: ['ALTER TABLE {table} REPLICA IDENTITY FULL', 1, 'ALTER TABLE {table} REPLICA IDENTITY NOTHING', 1],
  },
  {
    what: 'VACUUM FULL, CLUSTER and REINDEX',
    steps: ['VACUUM FULL {table}', 1, 'CLUSTER {table} USING outbox_pkey', 1, 'REINDEX TABLE {table}'],
  },
  {
    what: 'rows are written by a session that is a replica, and one with hostile settings',
    steps: [
      'SET session_replication_role = replica; {event}; RESET session_replication_role',
      'BEGIN; SET LOCAL synchronous_commit = off; {event}; COMMIT',
    ],
  },
  {
    what: 'a trigger that lets no row in',
    outbox: 'mapped',
    steps: [
      `CREATE FUNCTION shop.none() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN CASE NEW.kind WHEN ''not.wanted'' THEN NULL ELSE NEW END; END'`,
      'CREATE TRIGGER none BEFORE INSERT ON {table} FOR EACH ROW EXECUTE FUNCTION shop.none()',
      `INSERT INTO {table} (id, org, kind, body) VALUES (gen_random_uuid(), gen_random_uuid(), 'not.wanted', '{}')`,
      2,
    ],
  },
  { what: 'another tablespace', steps: ['ALTER TABLE {table} SET TABLESPACE pg_default', 1] },
  { what: 'SET LOGGED, which changes nothing', steps: ['ALTER TABLE {table} SET LOGGED', 1] },
  {
    what: 'the table has another name and another schema for a while, and is written to',
    outbox: 'mapped',
    steps: [
      'BEGIN; ALTER TABLE shop.outbox RENAME TO other; ALTER TABLE shop.other SET SCHEMA public',
      { table: 'public.other' },
      1,
      'ALTER TABLE public.other SET SCHEMA shop; ALTER TABLE shop.other RENAME TO outbox; COMMIT',
      { table: 'shop.outbox' },
    ],
  },
  {
    what: 'a partition is made, attached and detached',
    outbox: 'mapped partitioned',
    steps: [
      'DROP TABLE shop.late; CREATE TABLE shop.today PARTITION OF shop.outbox DEFAULT',
      2,
      'ALTER TABLE shop.outbox DETACH PARTITION shop.today; CREATE TABLE shop.late (LIKE shop.outbox INCLUDING ALL EXCLUDING IDENTITY)',
      `ALTER TABLE shop.outbox ATTACH PARTITION shop.late FOR VALUES FROM ('2020-01-01') TO (MAXVALUE)`,
      2,
    ],
  },
  {
    what: 'the partitions of a day are made',
    outbox: 'partitioned',
    steps: ['SELECT walpost_internal.make_partitions(9)', 2],
  },
  {
    what: 'savepoints, released and rolled back',
    steps: ['BEGIN; {event}; SAVEPOINT a; {undone}; ROLLBACK TO a; SAVEPOINT b; {event}; RELEASE b; {event}; COMMIT'],
  },
  { what: 'a hundred savepoints inside each other', steps: [`BEGIN; ${nested(100)} COMMIT`] },
  {
    what: 'a hundred savepoints, rolled back as a whole',
    steps: [`BEGIN; ${nested(100).replaceAll('{event}', '{undone}')} ROLLBACK`],
  },
  {
    what: 'a subtransaction that is larger than what the server decodes in memory',
    steps: [
      `BEGIN; {event}; SAVEPOINT a;
       INSERT INTO walpost.outbox (organization_id, event_type, payload)
         SELECT gen_random_uuid(), 'thing.undone', to_jsonb(repeat(md5(n::text), 500)) FROM generate_series(1, 200) AS n;
       ROLLBACK TO a; SET LOCAL logical_decoding_work_mem = '64kB'; {event}; COMMIT`,
    ],
  },
  {
    what: 'a transaction is prepared, then committed',
    steps: [
      `BEGIN; {event}; SAVEPOINT a; {undone}; ROLLBACK TO a; PREPARE TRANSACTION 'kept'`,
      2,
      `COMMIT PREPARED 'kept'`,
    ],
  },
  {
    what: 'a transaction is prepared, then rolled back',
    steps: [`BEGIN; {undone}; PREPARE TRANSACTION 'dropped'`, 2, `ROLLBACK PREPARED 'dropped'`],
  },
];

test('rows that COPY FREEZE writes arrive', async () => {
  await using scene = await TableScene.set(server.url(), 'mapped');
  await scene.take([2]);
  const id = randomUUID();
  scene.written.push(id);
  await scene.take([
    `BEGIN; TRUNCATE {table};
     COPY {table} (id, org, kind, body) FROM PROGRAM 'printf "${id}\t${id}\tthing.made\t{}\n"' WITH (FREEZE); COMMIT`,
  ]);
  expect(await scene.settled()).toEqual({ repeated: 0, undone: 0, dead: [] });
});

test('a row that is no event is a dead letter; its column is repaired, and a replay sends it', async () => {
  await using scene = await TableScene.set(server.url(), 'mapped');
  const id = randomUUID();
  await scene.take([1, `INSERT INTO {table} (id, org, kind) VALUES ('${id}', gen_random_uuid(), 'thing.made')`, 1]);
  const letters = (): Promise<{ event_id: string; reason: string }[]> =>
    scene.database.query('SELECT event_id, reason FROM walpost.dead_letters');
  await poll('it is a dead letter', async () => (await letters()).length > 0 || undefined);
  expect(await letters()).toEqual([{ event_id: id, reason: 'poison' }]);
  expect((await scene.settled()).repeated).toBe(0);
  await scene.take([`UPDATE {table} SET body = '{}' WHERE body IS NULL`]);
  await scene.database.query(`INSERT INTO walpost.jobs (slot, kind) SELECT slot, 'replay' FROM walpost.cursor`);
  await scene.log.has([id]);
  expect(await letters()).toHaveLength(1);
});

test('a row that an UPDATE moves to another partition comes again, with the same event_id', async () => {
  await using scene = await TableScene.set(server.url(), 'mapped partitioned');
  await scene.take([1]);
  await scene.settled();
  await scene.take([`UPDATE {table} SET made = '2019-01-01'`, 1]);
  expect(await scene.settled()).toEqual({ repeated: 1, undone: 0, dead: [] });
});

test('rows of a partition that was filled before it was attached are not sent, as docs/stream.md says', async () => {
  await using scene = await TableScene.set(server.url(), 'mapped partitioned');
  await scene.take([
    1,
    'DROP TABLE shop.late; CREATE TABLE shop.late (LIKE shop.outbox INCLUDING ALL EXCLUDING IDENTITY)',
    `INSERT INTO shop.late (id, org, kind, body, seq) VALUES (gen_random_uuid(), gen_random_uuid(), 'old', '{}', 0)`,
    `ALTER TABLE shop.outbox ATTACH PARTITION shop.late FOR VALUES FROM ('2020-01-01') TO (MAXVALUE)`,
    1,
  ]);
  expect(await scene.settled()).toEqual({ repeated: 0, undone: 0, dead: [] });
  expect(scene.log.events.filter(({ event_id }) => !scene.written.includes(event_id))).toEqual([]);
});

describe.concurrent('goes on, and each event arrives once:', () => {
  test.for(GOES_ON)('$what', async ({ outbox, steps }) => {
    await using scene = await TableScene.set(server.url(), outbox);
    await scene.take([3, ...steps, 3]);
    expect(await scene.settled()).toEqual({ repeated: 0, undone: 0, dead: [] });
    expect(scene.relay.service.readiness()).toMatchObject({ ready: true, role: 'leader' });
  });
});
