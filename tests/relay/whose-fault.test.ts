import { randomUUID } from 'node:crypto';
import { setTimeout as delay } from 'node:timers/promises';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { ReceivedBatch } from '../e2e/event-receiver.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';
import { disorder, firstArrivals } from './arrivals.ts';

const X = randomUUID();
const Y = randomUUID();

let database: TestDatabase;
let log: EventLog;
let requests: ReceivedBatch[];
beforeEach(async () => {
  database = await createTestDatabase();
  log = await EventLog.start();
  requests = [];
});
afterEach(async () => {
  await log[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const relay = (): Promise<RelayInProcess> =>
  RelayInProcess.start({
    database,
    sinks: log.sinks,
    config: { delivery: { backoff: ['50ms'], breaker: { reset_after: '500ms', minimum_organizations: 1000 } } },
  });

/** Notes each request, and answers with the status that is given for it. */
function answerWith(statusOf: (batch: ReceivedBatch) => number | Promise<number>): void {
  const keep = log.receiver.onBatch;
  log.receiver.onBatch = async (batch, body) => {
    requests.push(batch);
    const status = await statusOf(batch);
    return status < 300 ? keep(batch, body) : status;
  };
}

/** One transaction; the numbers from `from` on. */
const publish = (organization: string, count: number, from = 0): Promise<unknown> =>
  database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload)
     SELECT $1, 'a.b', jsonb_build_object('n', n) FROM generate_series($2::int, $3::int) AS n`,
    [organization, from, from + count - 1],
  );

const letters = () =>
  database.query<{ reason: string; detail: string; attempts: number; n: number }>(
    `SELECT reason, detail, attempts, (payload::jsonb ->> 'n')::int AS n FROM walpost.dead_letters ORDER BY id`,
  );
const numbersOf = ({ events }: ReceivedBatch): number[] => events.map(({ payload }) => (payload as { n: number }).n);

test('one poison in a batch of 100: 99 delivered in order, one dead letter with the answer, at most 15 requests', async () => {
  answerWith((batch) => (numbersOf(batch).includes(37) ? 422 : 204));
  await using _relay = await relay();
  await publish(X, 100);
  await poll('the dead letter', async () => (await letters())[0], 20_000);
  await log.receiver.received(99);
  expect(await letters()).toMatchObject([
    { reason: 'failed', attempts: 3, n: 37, detail: expect.stringContaining('422') as string },
  ]);
  expect(firstArrivals(log.events).get(X)).toEqual(Array.from({ length: 100 }, (_, n) => n).filter((n) => n !== 37));
  expect(log.events).toHaveLength(99);
  expect(requests.length).toBeLessThanOrEqual(15);
  console.log(
    `one poison in 100: ${requests.length} requests of ${requests.map(({ events }) => events.length).join(', ')}`,
  );
});

test('a receiver that answers 400 to everything: no dead letter, two halvings, and all is delivered when it is mended', async () => {
  let broken = true;
  answerWith(() => (broken ? 400 : 204));
  await using _relay = await relay();
  await publish(X, 100);
  await poll('many tries', async () => (requests.length >= 12 ? true : undefined), 20_000);
  expect(await letters()).toEqual([]);
  expect(requests.map(({ events }) => events.length).filter((size) => size > 1)).toEqual([100, 50, 25]);
  broken = false;
  await poll('all has arrived', async () =>
    disorder(log.events, new Map([[X, 100]])).length === 0 ? true : undefined,
  );
  expect(await letters()).toEqual([]);
});

test('500 at one event while others succeed: a dead letter after three attempts', async () => {
  const held: (() => void)[] = [];
  // Its answer waits for an event of the others, so that some succeed between its failures, however slow the machine is.
  answerWith(async (batch) => {
    if (batch.organization_id === X && numbersOf(batch).includes(0)) {
      await new Promise<void>((go) => held.push(go));
      return 500;
    }
    for (const go of held.splice(0)) go();
    return 204;
  });
  await using _relay = await relay();
  await publish(X, 1);
  let n = 0;
  await poll(
    'the dead letter',
    async () => {
      await publish(Y, 1, n++);
      await delay(20); // some load beside it, not as fast as it can be
      return (await letters())[0];
    },
    20_000,
  );
  expect(await letters()).toMatchObject([
    { reason: 'failed', attempts: 3, n: 0, detail: expect.stringContaining('500') as string },
  ]);
  expect(requests.filter((batch) => batch.organization_id === X)).toHaveLength(3);
  await publish(X, 1, 1);
  await poll('the lane goes on', async () => (firstArrivals(log.events).get(X)?.[0] === 1 ? true : undefined));
});
