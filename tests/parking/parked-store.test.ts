import { randomBytes } from 'node:crypto';
import type pg from 'pg';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { envelopeOf } from '../../src/envelope.ts';
import type { Event } from '../../src/event.ts';
import { readBlockedLanes } from '../../src/parking/blocked-lanes.ts';
import { DeadLetterStore } from '../../src/parking/dead-letter-store.ts';
import { adoptParkedSinks, countParked } from '../../src/parking/parked-sinks.ts';
import { ParkedStore } from '../../src/parking/parked-store.ts';
import type { DeadLetter } from '../../src/pipeline.ts';
import { CursorStore } from '../../src/postgres/cursor/cursor-store.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { type SampleFields, sampleEvent } from '../support/sample-event.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';

const claim = { slot: 'walpost_app', systemIdentifier: '7400000000000000001', timeline: 1 };
const moment = { placeOfJobs: 0x2000_0000n, now: 5000 };
const whole = { after: null, maxEvents: 100, maxBytes: 1_000_000, now: 9000 };
const lane = { sink: 'n8n', organizationId: 'org-1', lane: '' };

let database: TestDatabase;
let pool: pg.Pool;
let store: ParkedStore;
let cursor: CursorStore;
beforeEach(async () => {
  database = await createTestDatabase();
  pool = createPool(database.url, { applicationName: 'parked', max: 4 });
  cursor = await CursorStore.claim(pool, claim);
  store = new ParkedStore(pool, cursor);
});
afterEach(async () => {
  await pool.end();
  await database[Symbol.asyncDispose]();
});

function live(commitLsn: bigint, ordinal: number, fields: SampleFields = {}): Event {
  const event = sampleEvent({ organizationId: 'org-1', ordinal, ...fields });
  return { ...event, origin: { ...event.origin, commitLsn, receivedAt: 1000 } };
}

function replayed(fields: SampleFields = {}): Event {
  const event = live(0n, 0, fields);
  return {
    ...event,
    ordinal: null,
    jobRow: event.eventId,
    origin: { ...event.origin, commitLsn: null, committedAtMicros: null, job: 'replay-7' },
  };
}

const park = (events: readonly Event[], sink = 'n8n'): Promise<void> =>
  store.insert(
    events.map((event) => ({ sink, lane: '', event })),
    moment,
  );
const ids = (events: readonly Event[]): string[] => events.map((event) => event.eventId);

describe('a lane', () => {
  test('comes back in the order of its positions, whatever the order of the inserts', async () => {
    const [a, b, c, d] = [live(100n, 0), live(100n, 1), live(0x1_0000_0000n, 0), live(0x1_0000_0001n, 0)] as const;
    await park([d, b]);
    await park([c]);
    await park([a]);
    expect(ids((await store.read(lane, whole)).events)).toEqual(ids([a, b, c, d]));
  });

  test('takes the longest ids that the decoder lets through', async () => {
    const id = (): string => randomBytes(512).toString('hex');
    const organizationId = id();
    const fields = { organizationId, eventId: id(), eventVersion: 2 ** 31 - 1 };
    await park([live(100n, 0, fields), replayed(fields)], 's'.repeat(60));
    expect((await store.read({ sink: 's'.repeat(60), organizationId, lane: '' }, whole)).events).toHaveLength(2);
    await expect(park([live(101n, 0, { ...fields, eventId: `${id()}${id()}${id()}` })])).rejects.toMatchObject({
      code: 'DATABASE',
    });
  });

  test('gives back the very events: envelope, payload bytes, times', async () => {
    const event = live(100n, 0, {
      payload: '{"n": 9223372036854775808, "d": 0.10, "s": "é \\u2028 😀"}',
      entityType: 'jöb',
      target: 'slack',
      idempotencyKey: 'k',
    });
    await park([event]);
    const [back] = (await store.read(lane, whole)).events;
    expect(back && envelopeOf(back)).toEqual(envelopeOf(event));
    expect(back?.origin.receivedAt).toBeGreaterThan(9000 - 4000 - 2000);
    expect(back?.origin.receivedAt).toBeLessThanOrEqual(9000 - 4000);
  });

  test('has a canary only where the table is that of walpost', async () => {
    await park([live(100n, 0, { eventType: 'walpost.verify' }), live(101n, 0)]);
    const canaries = async (of: ParkedStore): Promise<unknown[]> =>
      (await of.read(lane, whole)).events.map(({ origin }) => origin.carriesCanary);
    expect(await canaries(store)).toEqual([true, false]);
    expect(await canaries(new ParkedStore(pool, cursor, true))).toEqual([false, false]);
  });

  test('is read in pages by count and by bytes, each at least one event', async () => {
    const events = Array.from({ length: 10 }, (_, index) => live(100n, index, { size: 1000 }));
    await park(events);
    const first = await store.read(lane, { ...whole, maxEvents: 3 });
    const second = await store.read(lane, { ...whole, after: first.last, maxBytes: 2500 });
    const third = await store.read(lane, { ...whole, after: second.last, maxBytes: 10 });
    const rest = await store.read(lane, { ...whole, after: third.last });
    expect([first, second, third, rest].map((page) => page.events.length)).toEqual([3, 3, 1, 3]);
    expect(ids([first, second, third, rest].flatMap((page) => page.events))).toEqual(ids(events));
    expect(await store.read(lane, { ...whole, after: rest.last })).toEqual({ events: [], last: null });
  });

  test('has the events of a job behind what had been received, and before what came later', async () => {
    const [before, job1, job2, later] = [
      live(moment.placeOfJobs, 5),
      replayed(),
      replayed(),
      live(moment.placeOfJobs + 8n, 0),
    ] as const;
    await park([later, job1, job2, before]);
    const { events } = await store.read(lane, whole);
    expect(ids(events)).toEqual(ids([before, job1, job2, later]));
    expect(events[1]?.origin.job).toBe('replay-7');
  });

  test('keeps the history before the position: a restored cluster begins behind', async () => {
    const old = live(500n, 0);
    await park([old]);
    await database.query('UPDATE walpost.cursor SET history = history + 1');
    const fresh = live(100n, 0);
    await park([fresh]);
    expect(ids((await store.read(lane, whole)).events)).toEqual(ids([old, fresh]));
  });
});

describe('storing', () => {
  test('the same event again has no effect, live or of a job, and each sink has its own', async () => {
    const [event, job] = [live(100n, 0), replayed()] as const;
    await park([event, job]);
    await park([event, job]);
    await park([event], 'ops');
    expect(await database.query('SELECT sink, count(*)::int FROM walpost.parked GROUP BY sink ORDER BY sink')).toEqual([
      { sink: 'n8n', count: 2 },
      { sink: 'ops', count: 1 },
    ]);
  });

  test('rows that a job found are stored each for itself, whatever their ids', async () => {
    const one = replayed();
    const other = { ...one, jobRow: 'another' };
    await park([one, other]);
    await park([other]);
    expect(ids((await store.read(lane, whole)).events)).toEqual([one.eventId, one.eventId]);
  });

  test('is refused to an older epoch, and so is removing', async () => {
    const event = live(100n, 0);
    await park([event]);
    const [back] = (await store.read(lane, whole)).events;
    await CursorStore.claim(pool, claim);
    await expect(park([live(101n, 0)])).rejects.toMatchObject({ code: 'LEADERSHIP_LOST' });
    await expect(store.remove([back?.parkedId ?? ''])).rejects.toMatchObject({ code: 'LEADERSHIP_LOST' });
    expect(await database.query('SELECT count(*)::int FROM walpost.parked')).toEqual([{ count: 1 }]);
  });

  test('removing takes just those rows', async () => {
    await park([live(100n, 0), live(100n, 1), live(100n, 2)]);
    const { events } = await store.read(lane, whole);
    await store.remove([events[0]?.parkedId ?? '', events[2]?.parkedId ?? '']);
    expect(ids((await store.read(lane, whole)).events)).toEqual([events[1]?.eventId]);
  });
});

describe('lanes and sinks', () => {
  test('lanes are listed once each', async () => {
    for (const organizationId of ['b', 'a', 'c'])
      await park([live(1n, 0, { organizationId }), live(2n, 0, { organizationId })]);
    await park([live(3n, 0, { organizationId: 'a' })], 'ops');
    expect((await store.lanes()).map(({ sink, organizationId }) => `${sink} ${organizationId}`)).toEqual([
      'n8n a',
      'n8n b',
      'n8n c',
      'ops a',
    ]);
    const counts = await countParked(pool, claim.slot);
    expect(counts.map(({ sink, count }) => [sink, count])).toEqual([
      ['n8n', 6],
      ['ops', 1],
    ]);
    expect(counts[0]?.oldestAgeSeconds).toBeGreaterThanOrEqual(4);
  });

  test('the oldest is as old as its commit, or its arrival where that is not known', async () => {
    await park([live(1n, 0)]);
    const age = async (): Promise<number> => (await countParked(pool, claim.slot))[0]?.oldestAgeSeconds ?? NaN;
    const set = (committed: string | null): Promise<unknown> =>
      pool.query(
        `UPDATE walpost.parked SET received_at = now() - interval '1 minute', committed_at = now() - $1::interval`,
        [committed],
      );
    await set('1 hour');
    expect(Math.round((await age()) / 60)).toBe(60);
    await set(null);
    expect(Math.round((await age()) / 60)).toBe(1);
  });

  test('a lane says how far the server may send again what stands before its rows', async () => {
    await cursor.advance(100n);
    await park([live(99n, 0, { organizationId: 'settled' })]);
    await park([live(99n, 0, { organizationId: 'open' }), live(100n, 0, { organizationId: 'open' })]);
    await park([replayed({ organizationId: 'job' })]);
    const lanesNow = async () =>
      Object.fromEntries(
        (await store.lanes()).map(({ organizationId, redeliveredUntil }) => [organizationId, redeliveredUntil]),
      );
    const before = { open: 100n, settled: null, job: moment.placeOfJobs - 1n };
    expect(await lanesNow()).toEqual(before);
    await database.query('UPDATE walpost.cursor SET history = history + 1');
    expect(await lanesNow()).toEqual({ open: null, settled: null, job: null });
  });

  test('a renamed sink takes its rows along; an unknown one stops the start', async () => {
    await park([live(1n, 0)], 'old');
    await expect(adoptParkedSinks(pool, cursor, { n8n: { type: 'discard', concurrency: 1 } })).rejects.toMatchObject({
      code: 'PARKED_SINK_UNKNOWN',
      message: expect.stringContaining('"old" (1)') as string,
    });
    expect(await adoptParkedSinks(pool, cursor, { n8n: { type: 'discard', concurrency: 1, formerly: 'old' } })).toBe(1);
    expect((await store.read(lane, whole)).events).toHaveLength(1);
  });

  test('and its dead letters, but for those that are there under the new name', async () => {
    const letters = new DeadLetterStore(pool, cursor);
    const letter = (sink: string, ordinal: number, blocks = false): DeadLetter => {
      return { item: live(1n, ordinal), sink, reason: 'rejected', detail: '', attempts: 1, blocks };
    };
    await letters.storeDeadLetters([letter('old', 0), letter('n8n', 0), letter('old', 1, true), letter('other', 2)]);
    await adoptParkedSinks(pool, cursor, { n8n: { type: 'discard', concurrency: 1, formerly: 'old' } });
    const found = await database.query<{ sink: string; ordinal: number }>(
      'SELECT sink, ordinal FROM walpost.dead_letters ORDER BY id',
    );
    expect(found.map(({ sink, ordinal }) => `${sink} ${ordinal}`)).toEqual(['old 0', 'n8n 0', 'n8n 1', 'other 2']);
    expect(await readBlockedLanes(pool, cursor.slot)).toEqual([lane]);
  });
});
