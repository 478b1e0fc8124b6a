/** Lanes of one organization, from the router to the rows in Postgres and back. */
import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { configSchema } from '../../src/config/schema.ts';
import type { Event } from '../../src/event.ts';
import { readBlockedLanes } from '../../src/parking/blocked-lanes.ts';
import { DeadLetterQueue } from '../../src/parking/dead-letter-queue.ts';
import { DeadLetterStore } from '../../src/parking/dead-letter-store.ts';
import { ParkedEvents } from '../../src/parking/parked-events.ts';
import { ParkedStore } from '../../src/parking/parked-store.ts';
import { type Batch, DELIVERED, type Verdicts } from '../../src/pipeline.ts';
import { CursorStore } from '../../src/postgres/cursor/cursor-store.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { Router } from '../../src/router/router.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { plainOrigin } from '../support/plain-origin.ts';
import { sampleEvent } from '../support/sample-event.ts';
import { poll } from '../support/slot-session.ts';

const LANES = ['', 'endpoint-7'];
const organizationId = 'org-1';
const DOWN: Verdicts = { kind: 'unavailable', reason: 'connection refused' };
const NOTHING = (): void => undefined;
const config = configSchema.parse({
  database: { url: 'postgres://127.0.0.1/x' },
  sinks: { hook: { type: 'discard' } },
  routes: [{ to: ['hook'] }],
  batching: { window: '5ms' },
  delivery: { quick_retries: 0, park_after: '100ms', breaker: { reset_after: '200ms' } },
});

let database: TestDatabase;
let pool: pg.Pool;
let cursor: CursorStore;

beforeEach(async () => {
  database = await createTestDatabase();
  pool = createPool(database.url, { applicationName: 'lanes', max: 3 });
  cursor = await CursorStore.claim(pool, { slot: 'walpost_app', systemIdentifier: '1', timeline: 1 });
});
afterEach(async () => {
  await pool.end();
  await database[Symbol.asyncDispose]();
});

/** A connection whose events all go into both lanes. */
class Connection implements AsyncDisposable {
  readonly sent: string[] = [];
  answer: (batch: Batch) => Verdicts = () => DELIVERED;
  settled = 0;
  readonly router: Router;
  readonly parked = new ParkedStore(pool, cursor);
  private readonly lot: ParkedEvents;
  private readonly letters: DeadLetterQueue;

  constructor() {
    const store = new DeadLetterStore(pool, cursor);
    const parts = { clock: systemClock, log: { error: NOTHING, warn: NOTHING }, onLost: NOTHING };
    this.lot = new ParkedEvents({ ...parts, store: this.parked, deadLetters: store, placeOfJobs: () => 0x1000n });
    this.letters = new DeadLetterQueue({ ...parts, store });
    this.router = new Router({
      config,
      destinations: [
        {
          name: 'hook',
          concurrency: 4,
          closedFor: 0,
          laneRule: { lanesFor: () => LANES, laneAgain: (_, before) => before },
          deliver: async (batch) => {
            const answer = this.answer(batch);
            if (answer === DELIVERED)
              this.sent.push(...batch.events.map(({ eventId }) => `${batch.lane ?? ''} ${eventId}`));
            return answer;
          },
        },
      ],
      deadLetters: this.letters,
      lot: this.lot,
      clock: systemClock,
      watcher: {
        delivered: NOTHING,
        parked: NOTHING,
        deadLettered: NOTHING,
        dropped: NOTHING,
        refusing: NOTHING,
        refusingOver: NOTHING,
        windowWait: NOTHING,
      },
      askVisible: NOTHING,
      onPressure: NOTHING,
      failure: new AbortController(),
    });
  }

  accept(ordinal: number): void {
    const origin = plainOrigin({
      commitLsn: 0x100n,
      receivedAt: systemClock.now(),
      settle: () => void (this.settled += 1),
    });
    this.router.accept(eventOf(ordinal, origin));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.router.close();
    this.lot.close();
    this.letters.close();
  }
}

const eventOf = (ordinal: number, origin: Event['origin']): Event =>
  sampleEvent({ organizationId, ordinal, origin, eventId: `event ${ordinal}` });
const rows = (table: string) =>
  database.query<{ lane: string; event_id: string }>(
    `SELECT lane, event_id FROM walpost.${table} ORDER BY lane, event_id`,
  );
const until = (what: string, table: string, count: number) =>
  poll(what, async () => ((await rows(table)).length === count ? true : undefined));

test('one event, two lanes, both parked, both dead: four rows', async () => {
  await using first = new Connection();
  first.answer = () => DOWN;
  first.accept(1);
  await until('it is parked in both lanes', 'parked', 2);
  await poll('both have settled', async () => first.settled === 2 || undefined);
  expect(await rows('parked')).toEqual(LANES.map((lane) => ({ lane, event_id: 'event 1' })));

  // The next connection gets it again before the rows are read.
  await using next = new Connection();
  next.answer = () => ({ kind: 'rejected', reason: 'gone' });
  next.accept(1);
  await until('it is dead in both lanes', 'dead_letters', 2);
  expect(await rows('dead_letters')).toEqual(LANES.map((lane) => ({ lane, event_id: 'event 1' })));
  expect(await rows('parked')).toHaveLength(2);
  expect(await readBlockedLanes(pool, cursor.slot)).toEqual([]);
});

test('each lane is taken up again after a restart, with its own rows, in order', async () => {
  {
    await using first = new Connection();
    first.answer = ({ lane }) => (lane === undefined ? DELIVERED : DOWN);
    for (const ordinal of [1, 2, 3]) first.accept(ordinal);
    await until('one lane is parked', 'parked', 3);
    expect(first.sent).toEqual([' event 1', ' event 2', ' event 3']);
    first.answer = () => DOWN;
    first.accept(4);
    await until('the other is too', 'parked', 5);
  }
  await using next = new Connection();
  const lanes = await next.parked.lanes();
  expect(lanes.map(({ lane }) => lane)).toEqual(LANES);
  next.router.restore(lanes.map((lane) => ({ ...lane, redeliveredUntil: null })));
  await until('all is delivered', 'parked', 0);
  const of = (name: string): string[] => next.sent.filter((each) => each.startsWith(`${name} `));
  expect(of('')).toEqual([' event 4']);
  expect(of('endpoint-7')).toEqual([1, 2, 3, 4].map((n) => `endpoint-7 event ${n}`));
});
