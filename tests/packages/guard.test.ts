/** The guard of a worker, alone and in a worker of BullMQ. */
import { type Job, Queue, Worker } from 'bullmq';
import { Redis } from 'ioredis';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import {
  countersText,
  createGuard,
  type GuardCheck,
  type GuardOutcome,
  MissingStateError,
} from '../../packages/consumer/src/workers/index.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { redisMissing, RedisServer } from '../support/redis-server.ts';

const NONE = { checked: 0, present: 0, missing: 0, late: 0, repaired: 0, refused: 0, dropped: 0, failed: 0 };

function begin() {
  const clock = new ManualClock();
  const states = new Map<string, string>();
  const told: [unknown, GuardOutcome][] = [];
  const guard = createGuard({ clock, onMissing: (job, outcome) => told.push([job, outcome]) });
  const find = (id: string) => Promise.resolve(states.get(id));
  const repair = (id: string) => Promise.resolve(states.set(id, 'repaired'));
  return { clock, states, told, guard, find, repair };
}

test('state that is there is handed on, and nobody is told', async () => {
  const { states, told, guard, find, repair } = begin();
  states.set('a', 'state');
  expect(await guard('a', { find, repair })).toBe('state');
  expect([guard.counters, told]).toEqual([{ ...NONE, checked: 1, present: 1 }, []]);
});

test('it waits for state that is late', async () => {
  const { clock, states, told, guard, find, repair } = begin();
  const found = guard('a', { find, repair, waits: [100, 400] });
  await clock.advance(0);
  await clock.advance(100);
  states.set('a', 'state');
  await clock.advance(399);
  expect(guard.counters.late).toBe(0);
  await clock.advance(1);
  expect(await found).toBe('state');
  expect([guard.counters, told]).toEqual([{ ...NONE, checked: 1, missing: 1, late: 1 }, [['a', 'late']]]);
});

test('it repairs what stays away, and looks whether that has helped', async () => {
  const { guard, find, repair } = begin();
  expect(await guard('a', { find, repair })).toBe('repaired');
  await expect(guard('b', { find, repair: () => Promise.resolve() })).rejects.toThrow(MissingStateError);
  expect(guard.counters).toEqual({ ...NONE, checked: 2, missing: 2, repaired: 1, refused: 1 });
});

test('a job whose state stays away is refused, or dropped where that is asked for', async () => {
  const { guard, find, told } = begin();
  await expect(guard('a', { find })).rejects.toThrow(MissingStateError);
  expect(await guard('b', { find, otherwise: 'drop' })).toBeUndefined();
  expect(guard.counters).toEqual({ ...NONE, checked: 2, missing: 2, refused: 1, dropped: 1 });
  expect(told).toEqual([
    ['a', 'refused'],
    ['b', 'dropped'],
  ]);
});

test('a check or a repair that throws is counted, and its error passed on', async () => {
  const { guard, find } = begin();
  const fails = () => Promise.reject(new Error('no database'));
  await expect(guard('a', { find: fails })).rejects.toThrow('no database');
  await expect(guard('a', { find, repair: fails })).rejects.toThrow('no database');
  expect(guard.counters).toEqual({ ...NONE, checked: 2, missing: 1, failed: 2 });
});

test('the counters are text for Prometheus', async () => {
  const { guard, find } = begin();
  await guard('a', { find, otherwise: 'drop' });
  const text = countersText([
    { name: 'courses', counters: guard.counters },
    { name: 'a "b"\\\n', counters: createGuard().counters },
  ]);
  expect(text).toContain(
    '# HELP walpost_guard_dropped_total Jobs without state that were dropped.\n' +
      '# TYPE walpost_guard_dropped_total counter\n' +
      'walpost_guard_dropped_total{guard="courses"} 1\n' +
      'walpost_guard_dropped_total{guard="a \\"b\\"\\\\\\n"} 0\n',
  );
  expect(text.match(/^# TYPE /gm)).toHaveLength(Object.keys(NONE).length);
});

const missing = await redisMissing();
describe.skipIf(missing)(`in a worker of BullMQ ${missing ?? ''}`, () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test('jobs are worked on with their state, repaired, dropped, or tried again until it is there', async () => {
    const states = new Map([['present', 'there']]);
    const connection = new Redis(server.url, { maxRetriesPerRequest: null });
    const guard = createGuard();
    const worked: string[] = [];
    const check: GuardCheck<Job<{ course: string }>, string> = {
      find: ({ data }) => Promise.resolve(states.get(data.course)),
      repair: async ({ data }) => {
        if (data.course === 'repairable') states.set(data.course, 'repaired');
      },
    };
    const worker = new Worker<{ course: string }>(
      'courses',
      async (job) => {
        if (job.data.course === 'late' && job.attemptsMade === 2) states.set('late', 'came');
        const otherwise = job.data.course === 'deleted' ? 'drop' : 'refuse';
        const state = await guard(job, { ...check, otherwise });
        worked.push(`${job.data.course}: ${state}`);
      },
      { connection },
    );
    let completed = 0;
    const done = new Promise<void>((resolve) => worker.on('completed', () => (completed += 1) === 4 && resolve()));
    const queue = new Queue<{ course: string }>('courses', { connection });
    for (const course of ['present', 'repairable', 'deleted', 'late']) {
      await queue.add('generate', { course }, { attempts: 3 });
    }
    await done;
    await worker.close();
    await queue.close();
    connection.disconnect();
    expect(worked.toSorted()).toEqual(['deleted: undefined', 'late: came', 'present: there', 'repairable: repaired']);
    expect(guard.counters).toEqual({
      ...NONE,
      checked: 6,
      present: 2,
      missing: 4,
      repaired: 1,
      dropped: 1,
      refused: 2,
    });
  });
});
