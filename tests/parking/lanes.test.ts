/** The lane is part of every key: one event may wait, and be given up, in two lanes of one sink and organization. */
import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Event } from '../../src/event.ts';
import { DeadLetterStore } from '../../src/parking/dead-letter-store.ts';
import { readBlockedLanes } from '../../src/parking/blocked-lanes.ts';
import { LaneRecords } from '../../src/parking/lane-records.ts';
import { ParkedStore } from '../../src/parking/parked-store.ts';
import { listStored, moveParked, wakeLanes } from '../../src/parking/stored-rows.ts';
import { storePause } from '../../src/parking/pauses.ts';
import { readWaitingLanes } from '../../src/parking/waiting-lanes.ts';
import { takeRetryRequests } from '../../src/parking/retry-requests.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { CursorStore } from '../../src/postgres/cursor/cursor-store.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { sampleEvent } from '../support/sample-event.ts';

const LANES = ['', 'endpoint-7'];
const organizationId = 'org-1';
const limits = { maxEvents: 100, maxBytes: 1_000_000, after: null, now: 0 };

let database: TestDatabase;
let pool: pg.Pool;
let cursor: CursorStore;
let parked: ParkedStore;

beforeEach(async () => {
  database = await createTestDatabase();
  pool = createPool(database.url, { applicationName: 'lanes', max: 2 });
  cursor = await CursorStore.claim(pool, { slot: 'walpost_app', systemIdentifier: '1', timeline: 1 });
  parked = new ParkedStore(pool, cursor);
});
afterEach(async () => {
  await pool.end();
  await database[Symbol.asyncDispose]();
});

const live = (): Event => sampleEvent({ organizationId, ordinal: 0 });
const park = (event: Event) =>
  parked.insert(
    LANES.map((lane) => ({ sink: 'n8n', lane, event })),
    { placeOfJobs: 200n, now: 0 },
  );

test('an event of the stream, parked and dead in two lanes: four rows, however often it comes', async () => {
  const event = live();
  const letters = new DeadLetterStore(pool, cursor);
  for (let time = 0; time < 2; time += 1) {
    await park(event);
    await letters.storeDeadLetters(
      LANES.map((lane) => ({
        item: event,
        sink: 'n8n',
        lane,
        reason: 'failed',
        detail: 'no',
        attempts: 3,
        blocks: true,
      })),
    );
  }
  const rows = await database.query(
    `SELECT 'parked' AS at, lane FROM walpost.parked UNION ALL SELECT 'dead', lane FROM walpost.dead_letters ORDER BY 1, 2`,
  );
  expect(rows).toEqual(['dead', 'parked'].flatMap((at) => LANES.map((lane) => ({ at, lane }))));
  expect(await readBlockedLanes(pool, cursor.slot)).toHaveLength(2);
  expect((await parked.lanes()).map(({ lane }) => lane)).toEqual(LANES);
  for (const lane of LANES) {
    expect((await parked.read({ sink: 'n8n', organizationId, lane }, limits)).events).toHaveLength(1);
  }
});

test('so is the event of a job, and each lane moves to another sink as a whole', async () => {
  const base = live();
  const origin = { ...base.origin, commitLsn: null, committedAtMicros: null, job: 'replay-7' };
  const event: Event = { ...base, ordinal: null, jobRow: 'row 1', origin };
  await park(event);
  await park(event);
  expect(await moveParked(pool, { filter: { slot: cursor.slot }, to: 'hook' }, () => undefined)).toBe(2);
  expect(await database.query('SELECT sink, lane FROM walpost.parked ORDER BY lane')).toEqual(
    LANES.map((lane) => ({ sink: 'hook', lane })),
  );
  const asked = await takeRetryRequests(pool, cursor);
  expect(asked.toSorted((a, b) => a.lane.localeCompare(b.lane))).toEqual(
    LANES.map((lane) => ({ sink: 'hook', organizationId, lane })),
  );
});

test('walpost.lanes has a row for each lane that fails, and forgets the one that recovers', async () => {
  const records = new LaneRecords(pool, cursor, new ManualClock());
  const failing = LANES.map((lane) => ({
    sink: 'n8n',
    organizationId,
    lane,
    state: 'failing' as const,
    since: 0,
    attempts: 2,
    reason: `no ${lane}`,
    code: 'HTTP_503',
    answer: 'never',
    nextTryAt: null,
  }));
  const rows = () => database.query('SELECT lane, code, reason, answer FROM walpost.lanes ORDER BY lane');
  await records.round(failing);
  expect(await rows()).toEqual(
    LANES.map((lane) => ({ lane, code: 'HTTP_503', reason: `no ${lane}`, answer: 'never' })),
  );
  await records.round(failing.slice(0, 1));
  expect(await rows()).toEqual([{ lane: '', code: 'HTTP_503', reason: 'no ', answer: 'never' }]);
  await new LaneRecords(pool, cursor, new ManualClock()).round(failing.slice(1)); // another leader knows nothing of the first
  expect(await rows()).toEqual([{ lane: 'endpoint-7', code: 'HTTP_503', reason: 'no endpoint-7', answer: 'never' }]);
});

test('a pause of the organization is one of all its lanes, and each is woken by itself', async () => {
  await park(live());
  const failing = { sink: 'n8n', organizationId, state: 'failing' as const, since: 0, attempts: 2, reason: 'no' };
  const records = new LaneRecords(pool, cursor, new ManualClock());
  await records.round(LANES.map((lane) => ({ ...failing, lane, code: null, answer: null, nextTryAt: null })));
  const { slot } = cursor;
  expect(await storePause(pool, { slot, sink: 'n8n', organizationId, by: 'ada', reason: null })).toBe(true);
  expect(await database.query('SELECT lane, state FROM walpost.lanes')).toEqual([{ lane: '', state: 'paused' }]);
  const waiting = await readWaitingLanes(pool, slot, { isStreamed: true, job: null });
  expect(waiting.first.map(({ lane, parked: count, waitsFor }) => [lane, count, waitsFor])).toEqual(
    LANES.map((lane) => [lane, 1, 'a person: ada has paused it']),
  );
  const rows = await listStored(pool, 'parked', { slot, limit: 10 });
  expect(rows.map(({ paused_by: by }) => by)).toEqual(['ada', 'ada']);

  const lanesOf = async (filter: object): Promise<string[]> => {
    await wakeLanes(pool, { slot, ...filter });
    return (await takeRetryRequests(pool, cursor)).map(({ lane }) => lane).toSorted();
  };
  expect(await lanesOf({ organization: organizationId })).toEqual(LANES);
  expect(await lanesOf({ lane: 'endpoint-7' })).toEqual(['endpoint-7']);
  expect(await lanesOf({ ids: [rows.at(-1)?.id] })).toEqual(['endpoint-7']);
});

test('what a sink says of its failure is stored although the database cannot hold it', async () => {
  const lane = { sink: 'own', organizationId, lane: '', state: 'failing' as const, since: 0, attempts: 1 };
  const failure = { reason: 'no\0', code: 'BAD\0', answer: 'a\0', nextTryAt: null };
  await new LaneRecords(pool, cursor, new ManualClock()).round([{ ...lane, ...failure }]);
  expect(await database.query('SELECT code, reason, answer FROM walpost.lanes')).toEqual([
    { code: 'BAD', reason: 'no', answer: 'a' },
  ]);
});
