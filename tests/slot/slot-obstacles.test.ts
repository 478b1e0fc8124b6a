/** What a slot can meet on a server of its own: old transactions, a limit on WAL, no free place. */
import { afterAll, beforeAll, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import type { CreateSlotOptions } from '../../src/slot/slot-creation.ts';
import { ensureSlot } from '../../src/slot/slot-setup.ts';
import { inspectSlot } from '../../src/slot/slot-state.ts';
import { createTestDatabase } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { createNotes, openSession } from '../support/slot-session.ts';

let server: EmbeddedPostgres;
beforeAll(async () => {
  server = await startServer('17', {
    settings: { max_slot_wal_keep_size: '1MB', max_prepared_transactions: '2', max_replication_slots: '1' },
  });
});
afterAll(() => server[Symbol.asyncDispose]());

const createDatabase = (): Promise<TestDatabase> => createTestDatabase({ migrated: false, server: server.url() });

async function optionsFor(db: TestDatabase): Promise<CreateSlotOptions> {
  return {
    url: db.url,
    db: await db.client(),
    slot: db.slotName,
    plugin: 'pgoutput',
    failover: false,
    lockTimeout: 300,
  };
}

test('a creation that waits names the transaction in the way, and leaves nothing behind', async () => {
  await using db = await createDatabase();
  await db.query('CREATE TABLE t (id int)');
  const old = await db.client();
  await old.query("SET application_name = 'month end'");
  await old.query('BEGIN');
  await old.query('INSERT INTO t VALUES (1)');
  const { rows } = await old.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
  const waiting = ensureSlot(await optionsFor(db));
  await expect(waiting).rejects.toMatchObject({
    code: 'SLOT_CREATION_WAITS',
    policy: 'retry',
    remedy: expect.stringContaining(`pg_terminate_backend(${rows[0]?.pid})`) as string,
  });
  await expect(waiting).rejects.toThrow(`process ${rows[0]?.pid} "month end" of role "postgres"`);
  expect(await inspectSlot(await db.client(), db.slotName)).toEqual({ kind: 'missing' });
  await old.query('COMMIT');
  expect((await ensureSlot(await optionsFor(db))).created).toBe(true);
});

test('a creation that waits names a prepared transaction, which has no process', async () => {
  await using db = await createDatabase();
  await db.query('CREATE TABLE t (id int)');
  const client = await db.client();
  await client.query('BEGIN');
  await client.query('INSERT INTO t VALUES (1)');
  await client.query("PREPARE TRANSACTION 'half way'");
  try {
    await expect(ensureSlot(await optionsFor(db))).rejects.toThrow('the prepared transaction "half way"');
  } finally {
    await client.query("ROLLBACK PREPARED 'half way'");
  }
});

test('a slot whose WAL the server has removed is lost, and the stream says to look', async () => {
  await using db = await createDatabase();
  await createNotes(db);
  const options = await optionsFor(db);
  for (let round = 0; round < 4; round++) {
    await db.query("INSERT INTO note (note) SELECT repeat('x', 5000) FROM generate_series(1, 1000)");
    await db.query('SELECT pg_switch_wal()');
  }
  await db.query('CHECKPOINT');
  const state = await inspectSlot(options.db, db.slotName, 'pgoutput');
  expect(state).toMatchObject({ kind: 'lost', facts: { walStatus: 'lost' } });
  await expect(ensureSlot(options)).rejects.toMatchObject({ code: 'SLOT_LOST', policy: 'operator' });
  await expect(openSession(db)).rejects.toMatchObject({ code: 'DATABASE', policy: 'retry' });
});

test('how much WAL may still be written before the slot is lost', async () => {
  await using db = await createDatabase();
  const made = await ensureSlot(await optionsFor(db));
  expect(made.facts.safeBytes).toBeGreaterThan(0);
  expect(made.facts.safeBytes).toBeLessThan(64 * 1024 ** 2);
});

test('all places for slots are taken', async () => {
  await using db = await createDatabase();
  const options = await optionsFor(db);
  await ensureSlot(options);
  const another = { ...options, slot: `${db.slotName}_2` };
  await expect(ensureSlot(another)).rejects.toMatchObject({ code: 'TOO_MANY_SLOTS', policy: 'operator' });
  await db.query('SELECT pg_drop_replication_slot($1)', [db.slotName]);
  expect((await ensureSlot(another)).created).toBe(true);
});
