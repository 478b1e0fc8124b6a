/** The budget as the process keeps it: from the router's count to the socket that is not read. */
import { expect, test, vi } from 'vitest';
import { EventReceiver, type OnBatch } from '../e2e/event-receiver.ts';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { poll, untilBlocked } from '../support/slot-session.ts';

vi.setConfig({ testTimeout: 60_000 }); // processes, and some tens of megabytes through them

const MIB = 1024 ** 2;
const BUDGET = 4 * MIB;
const ROWS = 4_000;
const ROW_BYTES = 10_000;
/** What the driver has in hand when the router says stop. */
const IN_HAND = 2 * MIB;
/**
 * Beyond the budget, twice over: garbage that is not collected yet, and the code that runs for the first time. A process
 * starts with some 70 MB and has been seen to grow by 68 MB on Node 24; one that read on would grow by 40 MB more.
 */
const SLACK = 70 * MIB;

const hangs: OnBatch = () => new Promise(() => undefined);

async function insert(database: TestDatabase, organizations: number): Promise<void> {
  await database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload)
     SELECT md5((n % $1)::text)::uuid, 'thing.made', to_jsonb(repeat('x', $2)) FROM generate_series(1, $3) AS n`,
    [organizations, ROW_BYTES, ROWS],
  );
}

const options = (database: TestDatabase, receiver: EventReceiver, park_after = '5m') => ({
  database,
  sinks: { hook: receiver.sink() },
  config: { memory: { budget: '4MiB' }, delivery: { timeout: '5m', park_after, log: 'off' } },
});

test('a transaction of 40 MB to a sink that hangs: the router is full, the socket is not read, and all of it comes later', async () => {
  await using database = await createTestDatabase();
  await using receiver = await EventReceiver.start();
  const answers: (() => void)[] = [];
  receiver.onBatch = () => new Promise((resolve) => answers.push(resolve));
  await using walpost = await RunningWalpost.start(options(database, receiver));
  const base = await walpost.peakMemory();
  await insert(database, 1);
  const buffered = (): Promise<number> => walpost.metric('walpost_buffered_bytes');
  await untilBlocked(database, buffered);
  expect(await buffered()).toBeGreaterThanOrEqual(BUDGET);
  expect(await buffered()).toBeLessThan(BUDGET + IN_HAND);
  expect((await walpost.peakMemory()) - base).toBeLessThan(2 * BUDGET + SLACK);
  receiver.onBatch = () => undefined;
  for (const answer of answers) answer();
  await receiver.received(ROWS);
  expect((await walpost.peakMemory()) - base).toBeLessThan(2 * BUDGET + SLACK);
  expect(await walpost.stop()).toMatchObject({ code: 0 });
});

test('the same of 200 organizations: what has waited is parked, and memory stays what it was', async () => {
  await using database = await createTestDatabase();
  await using receiver = await EventReceiver.start(hangs);
  await using walpost = await RunningWalpost.start(options(database, receiver, '500ms'));
  const base = await walpost.peakMemory();
  let most = 0;
  await insert(database, 200);
  const look = async (): Promise<true | undefined> => {
    most = Math.max(most, await walpost.metric('walpost_buffered_bytes'));
    const parked = await walpost.metric('walpost_events_parked_total');
    return ROWS - parked < (BUDGET + IN_HAND) / ROW_BYTES || undefined;
  };
  await poll('all but what is in memory is parked', look, 40_000);
  expect(most).toBeLessThan(BUDGET + IN_HAND);
  const grown = (await walpost.peakMemory()) - base;
  console.log(`${(most / MIB).toFixed(1)} MiB at most, ${(grown / MIB).toFixed(0)} MiB of memory more than at first`);
  expect(grown).toBeLessThan(2 * BUDGET + SLACK);
});
