/** One organization whose receiver answers each time: bad events in a row, of one type, with 500, refused all together. */
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type { ReceivedBatch } from '../e2e/event-receiver.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';
import { firstArrivals } from './arrivals.ts';

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

const start = (delivery: object = {}, sink: object = {}): Promise<RelayInProcess> =>
  RelayInProcess.start({
    database,
    sinks: { hook: { ...log.receiver.sink(), ...sink } },
    config: {
      delivery: { backoff: ['50ms'], breaker: { reset_after: '200ms', minimum_organizations: 1000 }, ...delivery },
    },
  });

const numbersOf = ({ events }: ReceivedBatch): number[] => events.map(({ payload }) => (payload as { n: number }).n);
const range = (from: number, to: number): number[] => Array.from({ length: to - from }, (_, index) => from + index);

/** Notes each request, and answers with the status that is given for it. */
function answerWith(statusOf: (batch: ReceivedBatch) => number): void {
  const keep = log.receiver.onBatch;
  log.receiver.onBatch = (batch, body) => {
    requests.push(batch);
    const status = statusOf(batch);
    return status < 300 ? keep(batch, body) : status;
  };
}

const refuseWhere =
  (isBad: (n: number) => boolean, status = 422) =>
  (batch: ReceivedBatch): number =>
    numbersOf(batch).some(isBad) ? status : 204;

/** One transaction; the numbers from `from` on. */
const publish = (organization: string, count: number, from = 0, type = 'a.b'): Promise<unknown> =>
  database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload)
     SELECT $1, $4, jsonb_build_object('n', n) FROM generate_series($2::int, $3::int) AS n`,
    [organization, from, from + count - 1, type],
  );

const letters = (): Promise<{ reason: string; n: number; attempts: number }[]> =>
  database.query(`SELECT reason, attempts, (payload::jsonb ->> 'n')::int AS n FROM walpost.dead_letters ORDER BY id`);
const parked = async (): Promise<number> =>
  (await database.query<{ count: number }>('SELECT count(*)::int FROM walpost.parked'))[0]?.count ?? -1;
const arrived = (organization = X): number[] => firstArrivals(log.events).get(organization) ?? [];

async function isOver(dead: readonly number[], healthy: readonly number[], timeout = 150_000): Promise<void> {
  await poll(
    'all of them have come to an end',
    async () => (await letters()).length >= dead.length || undefined,
    timeout,
  );
  await poll('the healthy ones', async () => arrived().length >= healthy.length || undefined, timeout);
  await poll('nothing is parked', async () => (await parked()) === 0 || undefined, timeout);
  expect(await letters()).toEqual(dead.map((n) => expect.objectContaining({ reason: 'failed', n }) as object));
  expect(arrived()).toEqual(healthy);
}

describe.each([2, 5, 300])('%i bad events in a row', { timeout: 200_000 }, (count) => {
  test('with healthy ones behind them', async () => {
    answerWith(refuseWhere((n) => n < count));
    await using _relay = await start();
    await publish(X, count + 3);
    await isOver(range(0, count), range(count, count + 3));
  });
});

test(
  '5 bad events and nothing behind: they wait, which is told, and healthy ones end it',
  { timeout: 60_000 },
  async () => {
    answerWith(refuseWhere((n) => n < 5));
    await using relay = await start({ unavailable_for: '1s', park_after: '300ms' });
    await publish(X, 5);
    const { refusing, lanes } = await poll('it is refusing', async () => {
      const report = await relay.service.status();
      return (report.refusing ?? []).length > 0 ? report : undefined;
    });
    const ids = await database.query<{ id: string }>(`SELECT event_id::text AS id FROM walpost.outbox ORDER BY seq`);
    expect(lanes).toMatchObject({ refusing: 1 });
    expect(refusing).toEqual([
      {
        sink: 'hook',
        organizationId: X,
        lane: '',
        since: expect.stringMatching(/^20\d\d-.*Z$/) as string,
        events: 5,
        eventIds: ids.map(({ id }) => id),
        eventTypes: 1,
        reason: 'the destination answered 422 Unprocessable Entity',
      },
    ]);
    const told = (message: RegExp) =>
      relay.lines.map((line) => JSON.parse(line) as object).filter((line) => message.test(JSON.stringify(line)));
    expect(told(/refuses every event/)).toEqual([
      expect.objectContaining({ sink: 'hook', organizationId: X, refused: 5, remedy: expect.any(String) as string }),
    ]);
    const before = requests.length;
    await poll(
      'it goes on for longer than unavailable_for',
      async () => requests.length >= before + 30 || undefined,
      30_000,
    );
    expect(await letters()).toEqual([]);
    await publish(X, 2, 5);
    await isOver(range(0, 5), [5, 6]);
    expect((await relay.service.status()).refusing).toEqual([]);
    expect(told(/accepts events again/)).toEqual([
      expect.objectContaining({ refused: 5, refusedForSeconds: expect.any(Number) as number }),
    ]);
  },
);

test('a receiver that refuses everything, over a restart: no dead letter, and all arrives when it is mended', async () => {
  let broken = true;
  answerWith(() => (broken ? 400 : 204));
  {
    await using relay = await start({ unavailable_for: '1s', park_after: '300ms' });
    await publish(X, 40);
    await poll('it is refusing', async () => (await relay.service.status()).refusing?.[0]);
  }
  expect(await parked()).toBe(40);
  const [end] = await database.query<{ lsn: string }>('SELECT max(order_lsn)::text AS lsn FROM walpost.parked');
  await using relay = await start({ unavailable_for: '1s', park_after: '300ms' });
  await publish(X, 5, 40);
  await poll('it is refusing', async () => (await relay.service.status()).refusing?.[0], 30_000);
  const before = requests.length;
  await poll('many tries', async () => requests.length >= before + 20 || undefined, 30_000);
  expect(await letters()).toEqual([]);
  const passed = 'SELECT FROM pg_replication_slots WHERE slot_name = $1 AND confirmed_flush_lsn >= $2::pg_lsn';
  expect(await database.query(passed, [database.slotName, end?.lsn])).toHaveLength(1);
  expect((await relay.service.status()).refusing).toHaveLength(1);
  broken = false;
  await poll('all has arrived', async () => arrived().length === 45 || undefined, 30_000);
  expect(await letters()).toEqual([]);
  const [first, ...others] = arrived(); // it may have recovered while one of those behind was tried
  expect([first, ...others].toSorted((a = 0, b = 0) => a - b)).toEqual(range(0, 45));
  expect(others).toEqual(others.toSorted((a, b) => a - b));
});

test('a restart while the events behind are tried', { timeout: 60_000 }, async () => {
  answerWith(refuseWhere((n) => n < 8));
  for (let round = 0; round < 3; round += 1) {
    await using _relay = await start({ park_after: '300ms' });
    if (round === 0) await publish(X, 10);
    const until = requests.length + 9;
    await poll('it is on its way', async () => requests.length >= until || (await letters()).length > 0 || undefined);
  }
  await using _relay = await start();
  await isOver(range(0, 8), [8, 9]);
});

test('500 for single events: they leave, as healthy ones come behind', { timeout: 60_000 }, async () => {
  answerWith(refuseWhere((n) => n === 3, 500));
  await using _relay = await start();
  await publish(X, 8);
  await isOver([3], [0, 1, 2, 4, 5, 6, 7]);
});

test('bad ones of one type, and healthy ones of another', { timeout: 120_000 }, async () => {
  answerWith((batch) => (batch.events.some(({ event_type: type }) => type === 'bad.type') ? 413 : 204));
  await using relay = await start({ park_after: '300ms' });
  await publish(X, 20, 0, 'bad.type');
  await poll('it is refusing', async () => (await relay.service.status()).refusing?.[0], 20_000);
  requests.length = 0;
  await publish(X, 10, 20, 'bad.type');
  await publish(X, 1, 30, 'good.type');
  await poll('the healthy one', async () => arrived().includes(30) || undefined);
  await poll('the first twenty', async () => (await letters()).length >= 20 || undefined, 20_000);
  await publish(X, 2, 31, 'good.type');
  await isOver(range(0, 30), [30, 31, 32]);
});

test('single requests (batch: false), and an outage in between', { timeout: 60_000 }, async () => {
  let requested = 0;
  answerWith((batch) => {
    requested += 1;
    return requested % 5 === 4 ? 503 : refuseWhere((n) => n < 5)(batch);
  });
  await using _relay = await start({ park_after: '300ms' }, { batch: false });
  await publish(X, 8);
  await isOver(range(0, 5), [5, 6, 7]);
});

test(
  'on_dead_letter: block: the lane stands still at the first, and discarding it goes on to the next',
  { timeout: 60_000 },
  async () => {
    answerWith(refuseWhere((n) => n < 2));
    await using _relay = await start({ on_dead_letter: 'block' });
    await publish(X, 4);
    for (const dead of [0, 1]) {
      await poll('the dead letter', async () => (await letters()).some(({ n }) => n === dead) || undefined, 20_000);
      await database.query('DELETE FROM walpost.dead_letters');
      await database.query(`SELECT pg_notify('walpost_wake', json_build_object('slot', $1::text)::text)`, [
        database.slotName,
      ]);
    }
    await poll('the rest', async () => arrived().length === 2 || undefined);
    expect(arrived()).toEqual([2, 3]);
  },
);

test('another organization at another sink does not notice', { timeout: 60_000 }, async () => {
  answerWith(refuseWhere(() => true));
  await using other = await EventLog.start();
  await using relay = await RelayInProcess.start({
    database,
    sinks: { hook: log.receiver.sink(), other: other.receiver.sink() },
    config: {
      routes: [
        { match: { topic: 'x' }, to: ['hook'] },
        { match: { topic: 'y' }, to: ['other'] },
      ],
      delivery: { backoff: ['50ms'], park_after: '300ms', breaker: { reset_after: '200ms' } },
      memory: { budget: '1MiB' },
    },
  });
  const fill = (organization: string, topic: string, count: number) =>
    database.query(
      `INSERT INTO walpost.outbox (organization_id, event_type, topic, payload)
       SELECT $1, 'a.b', $2, jsonb_build_object('n', n, 'text', repeat('x', 20000)) FROM generate_series(0, $3::int - 1) AS n`,
      [organization, topic, count],
    );
  for (let n = 0; n < 20; n += 1) await fill(randomUUID(), 'x', 10);
  await poll(
    'they are refusing',
    async () => ((await relay.service.status()).lanes?.['refusing'] === 20 ? true : undefined),
    40_000,
  );
  await fill(Y, 'y', 50);
  await poll('the other has all', async () => firstArrivals(other.events).get(Y)?.length === 50 || undefined, 10_000);
  expect(await letters()).toEqual([]);
});
