/** The queue over a store of a phone: any `{ get, set, delete }`. tests/packages/browser.test.ts has IndexedDB and two tabs. */
import { describe, expect, test } from 'vitest';
import {
  createOfflineQueue,
  type DropReason,
  localLocks,
  type OfflineQueueOptions,
  PermanentError,
  type QueuedItem,
  QueueFullError,
  type QueueStore,
} from '../../packages/consumer/src/offline/index.ts';
import { ManualClock, settleMicrotasks } from '../support/manual-clock.ts';

const HOUR = 3_600_000;

/** Takes a turn of the event loop for each call, as a store on a disk does. */
class SlowStore implements QueueStore {
  readonly values = new Map<string, string>();

  async get(key: string): Promise<string | null> {
    await settleMicrotasks();
    return this.values.get(key) ?? null;
  }

  async set(key: string, value: string): Promise<void> {
    await settleMicrotasks();
    this.values.set(key, value);
  }

  async delete(key: string): Promise<void> {
    await settleMicrotasks();
    this.values.delete(key);
  }
}

function begin(options: Partial<OfflineQueueOptions<number>> = {}) {
  const clock = new ManualClock();
  const store = new SlowStore();
  const network = { isUp: true };
  const [sent, dropped, sizes]: [QueuedItem<number>[], [number, DropReason][], number[]] = [[], [], []];
  const given: OfflineQueueOptions<number> = {
    store,
    clock,
    random: () => 0,
    locks: localLocks(),
    send: async (item) => {
      await settleMicrotasks();
      if (!network.isUp) throw new Error('offline');
      sent.push(item);
    },
    onDrop: ({ data }, reason) => dropped.push([data, reason]),
    onChange: (waiting) => sizes.push(waiting),
    ...options,
  };
  const numbers = () => sent.map(({ data }) => data);
  return { clock, store, network, sent, dropped, sizes, numbers, given, queue: createOfflineQueue(given) };
}

test('what is added while offline is sent in order once the network is back, once each', async () => {
  const { network, queue, numbers, sent, store, sizes } = begin();
  network.isUp = false;
  const ids = await Promise.all([1, 2, 3].map((n) => queue.add(n)));
  await expect(queue.flush()).rejects.toThrow('offline');
  network.isUp = true;
  await queue.flush();
  await queue.flush();
  expect([numbers(), sent.map(({ id }) => id)]).toEqual([[1, 2, 3], ids]);
  expect([new Set(ids).size, store.values.size, sizes.at(-1)]).toEqual([3, 0, 0]);
});

test('what is added while the last item goes out, or right behind it, is sent as well', async () => {
  let more = 2;
  const { queue, numbers } = begin({
    onChange: (waiting) => {
      if (waiting === 0 && numbers().length > 0 && more <= 4) void queue.add(more++);
    },
  });
  await queue.add(1);
  while (numbers().length < 4) await settleMicrotasks();
  expect(numbers()).toEqual([1, 2, 3, 4]);
});

test('a failure is tried again by itself, with growing waits, and holds up those behind it', async () => {
  const { clock, network, queue, numbers } = begin({ retry: { base: 1_000, most: 4_000 } });
  network.isUp = false;
  await queue.add(1);
  await queue.add(2);
  await queue.flush().catch(() => undefined);
  const before = clock.pending;
  await clock.advance(10_000);
  network.isUp = true;
  for (let turns = 0; turns < 20; turns += 1) await settleMicrotasks();
  await clock.advance(4_000);
  await queue.flush();
  expect([before, numbers()]).toEqual([1, [1, 2]]);
});

test('the next start sends what was left, with the same ids', async () => {
  const first = begin();
  first.network.isUp = false;
  const id = await first.queue.add(1);
  first.queue.close();
  await first.queue.flush().catch(() => undefined);
  first.network.isUp = true;
  const again = createOfflineQueue(first.given);
  await again.flush();
  expect(first.sent).toMatchObject([{ id, data: 1 }]);
});

test('what is older than a day is dropped and told of, and what is younger is sent', async () => {
  const { clock, network, queue, numbers, dropped } = begin();
  network.isUp = false;
  await queue.add(1);
  clock.standStill(HOUR);
  await queue.add(2);
  await queue.flush().catch(() => undefined);
  clock.standStill(23 * HOUR);
  network.isUp = true;
  await queue.flush();
  expect([numbers(), dropped]).toEqual([[2], [[1, 'expired']]]);
});

test('what will never do is dropped, and those behind it are sent', async () => {
  const { queue, dropped, store } = begin({
    send: ({ data }) => (data === 1 ? Promise.reject(new PermanentError('no such job')) : Promise.resolve()),
  });
  await queue.add(1);
  await queue.add(2);
  await queue.flush();
  expect([dropped, store.values.size]).toEqual([[[1, 'refused']], 0]);
});

test('an id that waits already is kept once, and a queue that is full refuses', async () => {
  const { network, queue } = begin({ maxItems: 2 });
  network.isUp = false;
  await queue.add(1, { id: 'one' });
  await queue.add(9, { id: 'one' });
  await queue.add(2);
  await expect(queue.add(3)).rejects.toThrow(QueueFullError);
  expect((await queue.waiting()).map(({ data }) => data)).toEqual([1, 2]);
});

describe('two queues on one store', () => {
  test('send each item once between them, and lose none that is added at the same time', async () => {
    const { given, queue, numbers } = begin();
    const other = createOfflineQueue(given);
    await Promise.all(Array.from({ length: 20 }, (_, n) => (n % 2 === 0 ? queue : other).add(n)));
    await Promise.all([queue.flush(), other.flush()]);
    expect(numbers().toSorted((a, b) => a - b)).toEqual(Array.from({ length: 20 }, (_, n) => n));
  });

  test('of two users keep apart by their names', async () => {
    const { given, network, queue } = begin({ name: 'anna' });
    network.isUp = false;
    await queue.add(1);
    const other = createOfflineQueue({ ...given, name: 'ben' });
    expect(await other.waiting()).toEqual([]);
  });
});

test('a closed queue sends nothing, and what waits stays', async () => {
  const { network, queue, numbers, clock } = begin();
  network.isUp = false;
  await queue.add(1);
  await queue.flush().catch(() => undefined);
  queue.close();
  network.isUp = true;
  await queue.flush();
  expect([numbers(), clock.pending, (await queue.waiting()).length]).toEqual([[], 0, 1]);
});
