import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Event, Origin, Poison } from '../../src/event.ts';
import { DeadLetterStore } from '../../src/parking/dead-letter-store.ts';
import type { DeadLetter } from '../../src/pipeline.ts';
import { CursorStore } from '../../src/postgres/cursor/cursor-store.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { textToWire } from '../../src/wire-text.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { plainOrigin } from '../support/plain-origin.ts';

const claim = { slot: 'walpost_app', systemIdentifier: '7400000000000000001', timeline: 1 };

const origin = (more: Partial<Origin> = {}): Origin =>
  plainOrigin({ commitLsn: 0x16_b374_d848n, xid: 7, committedAtMicros: 848_412_001_123_456n, ...more });

const event = (more: Partial<Event> = {}): Event => ({
  kind: 'event',
  eventId: '01a1f9c1-5e61-768b-8ff0-dabec930edd5',
  organizationId: '1f80d347-0514-46ab-8357-6c714d7f544f',
  eventType: 'job.completed',
  eventVersion: 2,
  topic: 'cataloging',
  entityType: 'job',
  entityId: '42',
  target: null,
  idempotencyKey: null,
  payload: textToWire('{"n": 12345678901234567890.10, "s": "é\\u0000 \\" \'"}'),
  headers: textToWire('{}'),
  createdAt: '2026-11-20T14:00:00.123456Z',
  expiresAt: null,
  origin: origin(),
  ordinal: 3,
  size: 200,
  parkedId: null,
  ...more,
});

const poison = (more: Partial<Poison> = {}): Poison => ({
  kind: 'poison',
  reason: 'created_at is infinity',
  eventId: null,
  organizationId: null,
  eventType: null,
  row: '{"created_at": "infinity"}',
  origin: origin(),
  ordinal: 4,
  ...more,
});

const letter = (item: Event | Poison, more: Partial<DeadLetter> = {}): DeadLetter => ({
  item,
  sink: item.kind === 'event' ? 'n8n' : null,
  reason: item.kind === 'event' ? 'rejected' : 'poison',
  detail: '410 Gone',
  attempts: 1,
  ...more,
});

let database: TestDatabase;
let pool: pg.Pool;
let cursor: CursorStore;
let store: DeadLetterStore;
beforeEach(async () => {
  database = await createTestDatabase();
  pool = createPool(database.url, { applicationName: 'dead letters', max: 4 });
  cursor = await CursorStore.claim(pool, claim);
  store = new DeadLetterStore(pool, cursor);
});
afterEach(async () => {
  await pool.end();
  await database[Symbol.asyncDispose]();
});

const stored = async (columns: string): Promise<pg.QueryResultRow[]> =>
  (await pool.query(`SELECT ${columns} FROM walpost.dead_letters ORDER BY id`)).rows;

test('the whole event is kept, byte for byte', async () => {
  await store.storeDeadLetters([letter(event(), { detail: '410\n Gone', answer: 'moved\n on', attempts: 3 })]);
  expect(await stored('*')).toEqual([
    {
      id: '1',
      slot: 'walpost_app',
      system_identifier: '7400000000000000001',
      epoch: '1',
      sink: 'n8n',
      lane: '',
      reason: 'rejected',
      detail: '410 Gone',
      answer: 'moved on',
      attempts: 3,
      blocks: false,
      commit_lsn: '16/B374D848',
      ordinal: 3,
      event_id: '01a1f9c1-5e61-768b-8ff0-dabec930edd5',
      organization_id: '1f80d347-0514-46ab-8357-6c714d7f544f',
      event_type: 'job.completed',
      event_version: 2,
      topic: 'cataloging',
      entity_type: 'job',
      entity_id: '42',
      target: null,
      idempotency_key: null,
      payload: '{"n": 12345678901234567890.10, "s": "é\\u0000 \\" \'"}',
      headers: '{}',
      expires_at: null,
      redacted_at: null,
      created_at: '2026-11-20 14:00:00.123456+00',
      committed_at: '2026-11-19 14:00:01.123456+00',
      poison_row: null,
      stored_at: expect.stringMatching(/^20/),
    },
  ]);
});

test('a poison is kept with its row as text, without a sink', async () => {
  await store.storeDeadLetters([
    letter(poison({ row: '{"event_type": "a\0b"}' }), { detail: 'created_at is infinity' }),
  ]);
  expect(await stored('sink, reason, detail, event_id, payload, poison_row')).toEqual([
    {
      sink: null,
      reason: 'poison',
      detail: 'created_at is infinity',
      event_id: null,
      payload: null,
      poison_row: '{"event_type": "a\ufffdb"}',
    },
  ]);
});

test('what comes again after a restart is stored once; another sink, ordinal or transaction is another letter', async () => {
  const letters = [
    letter(event()),
    letter(event(), { sink: 'live' }),
    letter(event(), { sink: null, reason: 'unrouted' }),
    letter(event({ ordinal: 5 })),
    letter(event({ origin: origin({ commitLsn: 9n }) })),
    letter(poison()),
  ];
  await store.storeDeadLetters([...letters, ...letters]);
  await store.storeDeadLetters(letters);
  expect(await stored('sink, ordinal, commit_lsn')).toHaveLength(letters.length);
  const next = await CursorStore.claim(pool, claim);
  await new DeadLetterStore(pool, next).storeDeadLetters(letters);
  expect(await stored('id')).toHaveLength(letters.length);
});

test('the same position of another slot or another cluster is another event', async () => {
  await store.storeDeadLetters([letter(event())]);
  const shard = await CursorStore.claim(pool, { ...claim, slot: 'walpost_shard' });
  await new DeadLetterStore(pool, shard).storeDeadLetters([letter(event())]);
  await cursor.adopt({ systemIdentifier: '7500000000000000002', timeline: 1 }, null);
  await store.storeDeadLetters([letter(event())]);
  expect(await stored('slot, system_identifier')).toHaveLength(3);
});

test('events of a table scan have no position and are never taken for one another', async () => {
  const scanned = (eventId: string): DeadLetter =>
    letter(event({ eventId, ordinal: null, origin: origin({ commitLsn: null, xid: null, committedAtMicros: null }) }));
  await store.storeDeadLetters([scanned('a'), scanned('b')]);
  expect(await stored('event_id, commit_lsn, committed_at')).toEqual([
    { event_id: 'a', commit_lsn: null, committed_at: null },
    { event_id: 'b', commit_lsn: null, committed_at: null },
  ]);
});

test('an owner of the past stores nothing, not even what is there already', async () => {
  await store.storeDeadLetters([letter(event())]);
  await CursorStore.claim(pool, claim);
  for (const ordinal of [3, 99]) {
    await expect(store.storeDeadLetters([letter(event({ ordinal }))])).rejects.toMatchObject({
      code: 'LEADERSHIP_LOST',
    });
  }
  expect(await stored('ordinal')).toEqual([{ ordinal: 3 }]);
});

test('many letters go in order and in chunks, and none is no statement at all', async () => {
  const letters = Array.from({ length: 1201 }, (_, ordinal) => letter(event({ ordinal })));
  await store.storeDeadLetters(letters);
  expect((await stored('ordinal')).map((row) => Number(row['ordinal']))).toEqual(letters.map((_, index) => index));
  await pool.end();
  await store.storeDeadLetters([]);
  pool = createPool(database.url, { applicationName: 'unused', max: 1 });
});

test('a moment before 2000 keeps its microseconds', async () => {
  await store.storeDeadLetters([letter(event({ origin: origin({ committedAtMicros: -1n }) }))]);
  expect(await stored('committed_at')).toEqual([{ committed_at: '1999-12-31 23:59:59.999999+00' }]);
});
