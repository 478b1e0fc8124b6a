import pg from 'pg';
import { describe, expect, test } from 'vitest';
import { formatLsn } from '../../src/lsn.ts';
import { createSlot } from '../../src/slot/slot-creation.ts';
import type { CreateSlotOptions } from '../../src/slot/slot-creation.ts';
import { dropSlot, endHolder, ensureSlot } from '../../src/slot/slot-setup.ts';
import { inspectSlot, slotProblem } from '../../src/slot/slot-state.ts';
import { createTestDatabase } from '../support/database.ts';
import type { TestDatabase } from '../support/database.ts';
import { createNotes, openSession, poll, untilFree } from '../support/slot-session.ts';

async function optionsFor(db: TestDatabase): Promise<CreateSlotOptions> {
  return { url: db.url, db: await db.client(), slot: db.slotName, plugin: 'pgoutput', failover: false };
}

describe('ensureSlot', () => {
  test('makes a missing slot, finds it the next time, and tells its figures', async () => {
    await using db = await createTestDatabase({ migrated: false });
    const options = await optionsFor(db);
    expect(await inspectSlot(options.db, db.slotName)).toEqual({ kind: 'missing' });
    const made = await ensureSlot(options);
    expect(made.created).toBe(true);
    expect(made.facts).toMatchObject({ type: 'logical', plugin: 'pgoutput', database: db.name, holder: null });
    expect(made.facts.walStatus).toBe('reserved');
    await db.query('CREATE TABLE filler AS SELECT * FROM generate_series(1, 10000)');
    const found = await ensureSlot(options);
    expect(found.created).toBe(false);
    expect(found.facts.confirmedFlushLsn).toBe(made.facts.confirmedFlushLsn);
    expect(found.facts.unconfirmedBytes).toBeGreaterThan(100_000);
    expect(found.facts.retainedBytes).toBeGreaterThanOrEqual(found.facts.unconfirmedBytes ?? 0);
    expect(await dropSlot(options.db, db.slotName)).toBe(true);
    expect(await dropSlot(options.db, db.slotName)).toBe(false);
  });

  test('two at a time make one slot', async () => {
    await using db = await createTestDatabase({ migrated: false });
    const results = await Promise.all([ensureSlot(await optionsFor(db)), ensureSlot(await optionsFor(db))]).catch(
      (error: unknown) => error,
    );
    // The slower one may look while the faster still holds the slot for the making of it.
    if (Array.isArray(results))
      expect(results.filter((result: { created: boolean }) => result.created)).toHaveLength(1);
    else expect(results).toMatchObject({ code: 'SLOT_IN_USE' });
  });

  test('asks for failover on a server that has it', async () => {
    await using db = await createTestDatabase({ migrated: false });
    await ensureSlot({ ...(await optionsFor(db)), failover: true });
    const rows = await db.query('SELECT failover FROM pg_replication_slots WHERE slot_name = $1', [db.slotName]);
    expect(rows).toEqual([{ failover: true }]);
  });

  test('names the process that streams from the slot, and ends it on request', async () => {
    await using db = await createTestDatabase({ migrated: false });
    await createNotes(db);
    const options = await optionsFor(db);
    await using session = await openSession(db);
    const pid = session.stream.backendPid ?? 0;
    const refusal = ensureSlot(options);
    await expect(refusal).rejects.toMatchObject({ code: 'SLOT_IN_USE' });
    await expect(refusal).rejects.toThrow(`process ${pid} "walpost" from 127.0.0.1`);
    expect(await endHolder(options.db, db.slotName, pid + 1)).toBe(true);
    expect((await inspectSlot(options.db, db.slotName)).kind).toBe('in_use');
    expect(await endHolder(options.db, db.slotName, pid)).toBe(true);
    expect((await inspectSlot(options.db, db.slotName)).kind).toBe('healthy');
    await session.ended;
  });

  test('refuses a slot of another database, of another plugin, and a physical one', async () => {
    await using db = await createTestDatabase({ migrated: false });
    await using other = await createTestDatabase({ migrated: false });
    const options = await optionsFor(db);
    await other.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [other.slotName]);
    const elsewhere = ensureSlot({ ...options, slot: other.slotName });
    await expect(elsewhere).rejects.toMatchObject({ code: 'SLOT_OTHER_DATABASE' });
    await expect(elsewhere).rejects.toThrow(`database "${other.name}"`);

    await db.query("SELECT pg_create_logical_replication_slot($1, 'pgoutput')", [db.slotName]);
    const otherPlugin = ensureSlot({ ...options, plugin: 'wal2json' });
    await expect(otherPlugin).rejects.toMatchObject({ code: 'SLOT_OTHER_PLUGIN' });
    await expect(otherPlugin).rejects.toThrow('"pgoutput"');

    const physical = `${db.slotName}_p`;
    await db.query('SELECT pg_create_physical_replication_slot($1)', [physical]);
    try {
      const refused = ensureSlot({ ...options, slot: physical });
      await expect(refused).rejects.toMatchObject({ code: 'SLOT_OTHER_PLUGIN' });
      await expect(refused).rejects.toThrow('physical');
    } finally {
      await dropSlot(options.db, physical);
    }
  });

  test('an output plugin that the server does not have', async () => {
    await using db = await createTestDatabase({ migrated: false });
    const refused = ensureSlot({ ...(await optionsFor(db)), plugin: 'wal2json' });
    await expect(refused).rejects.toMatchObject({ code: 'OUTPUT_PLUGIN', policy: 'operator' });
    expect(await db.query('SELECT 1 FROM pg_replication_slots WHERE slot_name = $1', [db.slotName])).toEqual([]);
  });
});

test('an exported snapshot sees what was committed before the slot, and nothing that will be streamed', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await db.query('CREATE TABLE note (id serial PRIMARY KEY, note text NOT NULL)');
  await db.query('CREATE PUBLICATION notes FOR TABLE note');
  await db.query("INSERT INTO note (note) VALUES ('before')");
  {
    await using slot = await createSlot({ ...(await optionsFor(db)), snapshot: 'export' });
    await db.query("INSERT INTO note (note) VALUES ('after')");
    const reader = await db.client();
    await reader.query('BEGIN ISOLATION LEVEL REPEATABLE READ');
    await reader.query(`SET TRANSACTION SNAPSHOT ${pg.escapeLiteral(slot.snapshot ?? '')}`);
    expect((await reader.query('SELECT note FROM note')).rows).toEqual([{ note: 'before' }]);
    await reader.query('COMMIT');
    expect(formatLsn(slot.consistentPoint)).toMatch(/^[0-9A-F]+\/[0-9A-F]+$/);
  }
  await using session = await openSession(db);
  await session.recorder.until('the row after', () => session.recorder.transactions.length === 1);
  expect(session.recorder.allNotes).toEqual(['after']);
});

test('the figures of a slot in use say how far it is behind', async () => {
  await using db = await createTestDatabase({ migrated: false });
  await createNotes(db);
  const client = await db.client();
  await using session = await openSession(db);
  await db.query("INSERT INTO note (note) VALUES ('one')");
  await session.recorder.until('it arrived', () => session.recorder.transactions.length === 1);
  const end = session.recorder.transactions[0]?.endLsn ?? 0n;
  session.stream.confirm(end);
  const state = await poll('the confirmation is there', async () => {
    const now = await inspectSlot(client, db.slotName);
    return now.kind === 'in_use' && now.facts.confirmedFlushLsn === end ? now : undefined;
  });
  expect(state.facts.unconfirmedBytes).toBeLessThan(100_000);
  expect(slotProblem(state)).toMatchObject({ code: 'SLOT_IN_USE' });
  session.abort();
  await untilFree(db);
});
