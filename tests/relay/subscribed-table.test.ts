/** A subscription writes the source table. With created_xid the rows bring numbers of another server; without it they are rows like any. */
import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';
import { TableScene } from './table-scene.ts';

let server: EmbeddedPostgres;
beforeAll(async () => {
  server = await startServer('17');
});
afterAll(() => server[Symbol.asyncDispose]());

/** Where the rows come from: a table with those columns, in a publication. */
async function publisher(more: string): Promise<TestDatabase> {
  const from = await createTestDatabase({ migrated: false, server: server.url() });
  await from.query(
    `CREATE SCHEMA shop; CREATE TABLE shop.outbox (id uuid, org uuid, kind text, body json ${more}); CREATE PUBLICATION feed FOR TABLE shop.outbox`,
  );
  return from;
}

const write = async (from: TestDatabase): Promise<string> => {
  const id = randomUUID();
  await from.query(`INSERT INTO shop.outbox (id, org, kind, body) VALUES ($1, $1, 'of.others', '{}')`, [id]);
  return id;
};

/** In one cluster the slot has to be made by itself. */
async function subscribe(to: TestDatabase, from: TestDatabase): Promise<AsyncDisposable> {
  const slot = `${to.slotName}_feed`;
  await from.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [slot]);
  await to.query(
    `CREATE SUBSCRIPTION feed CONNECTION '${from.url}' PUBLICATION feed WITH (create_slot = false, slot_name = '${slot}', copy_data = false)`,
  );
  return {
    async [Symbol.asyncDispose]() {
      await to.query('ALTER SUBSCRIPTION feed DISABLE');
      await to.query('ALTER SUBSCRIPTION feed SET (slot_name = NONE)');
      await to.query('DROP SUBSCRIPTION feed');
      await poll('nobody reads from its slot', async () => {
        const rows = await from.query('SELECT FROM pg_replication_slots WHERE slot_name = $1 AND NOT active', [slot]);
        return rows.length > 0 || undefined;
      });
    },
  };
}

test('a subscription that writes a table with created_xid ends the relay; following the remedy loses nothing', async () => {
  await using scene = await TableScene.set(server.url(), 'mapped');
  await using from = await publisher(', created_xid xid8 NOT NULL DEFAULT pg_current_xact_id(), seq bigint');
  await scene.take([2]);
  await using _subscription = await subscribe(scene.database, from);
  await scene.take([2]);
  const error = await scene.stops();
  expect(error).toMatchObject({ code: 'SOURCE_DIVERTED', policy: 'operator' });
  expect(error.message).toContain('The subscription feed writes shop.outbox');
  await expect(scene.restart()).rejects.toMatchObject({ code: 'SOURCE_DIVERTED' });
  await from.query('ALTER PUBLICATION feed DROP TABLE shop.outbox');
  await scene.database.query(/ALTER SUBSCRIPTION \S+ REFRESH PUBLICATION/.exec(error.remedy)?.[0] ?? '');
  await scene.restart();
  await scene.take([2]);
  expect(await scene.settled()).toMatchObject({ undone: 0, dead: [] });
});

test('rows that a subscription writes into a table without created_xid are streamed like any', async () => {
  await using scene = await TableScene.set(server.url(), 'mapped');
  await using from = await publisher('');
  await scene.take(['ALTER TABLE {table} DROP COLUMN created_xid', 2]);
  await using _subscription = await subscribe(scene.database, from);
  scene.written.push(await write(from), await write(from));
  await scene.take([2]);
  expect(await scene.settled()).toEqual({ repeated: 0, undone: 0, dead: [] });
  await scene.restart();
  scene.written.push(await write(from));
  expect((await scene.settled()).dead).toEqual([]);
});
