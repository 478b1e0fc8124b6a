/** Several lanes of one organization at one sink: each has its order and its failures, and together they are one tenant. */
import { describe, expect, test } from 'vitest';
import type { Event } from '../../src/event.ts';
import { type Batch, DELIVERED, type LaneRule, type Verdicts } from '../../src/pipeline.ts';
import { footprint } from '../../src/router/memory-budget.ts';
import { DOWN, numbers } from './deliveries.ts';
import { event, Harness, type HarnessOptions, makeOrigin } from './harness.ts';
import { MemoryLot } from './memory-lot.ts';

/** The topic of an event names its lanes, joined by +. */
const byTopic: LaneRule = {
  lanesFor: ({ topic }) => topic.split('+').filter((name) => name !== ''),
  laneAgain: (_, before) => before,
};
const withLanes = (options: HarnessOptions = {}): Harness => new Harness({ laneRule: byTopic, ...options });
const HANG = (): Promise<Verdicts> => new Promise(() => undefined);

function accept(harness: Harness, organization: string, lanes: string, ...ids: string[]): void {
  const receivedAt = harness.clock.now();
  for (const id of ids)
    harness.router.accept(event(organization, id, { topic: lanes, origin: makeOrigin({ receivedAt }) }));
}

/** `lane:events` of each request. */
const requests = ({ sent }: Harness): string[] => sent.map(({ lane = '', events }) => `${lane}:${events.join(',')}`);
const of = ({ sent }: Harness, lane: string): string[] =>
  sent.flatMap((request) => (request.lane === lane ? request.events : []));
const inLane =
  (lane: string, answer: () => Verdicts | Promise<Verdicts>) =>
  (batch: Batch): Verdicts | Promise<Verdicts> =>
    batch.lane === lane ? answer() : DELIVERED;

test('an event goes into each of its lanes, and settles once in each', async () => {
  const harness = withLanes();
  accept(harness, 'x', 'p+q', '1', '2');
  accept(harness, 'x', 'q', '3');
  expect(harness.held).toBe(5);
  await harness.clock.advance(250);
  expect(requests(harness)).toEqual(['p:1,2', 'q:1,2,3']);
  expect(harness.settled).toBe(5);
  expect(harness.router.state().bufferedBytes).toBe(0);
});

test('an event that no lane wants is settled, and is no dead letter', async () => {
  const harness = withLanes();
  accept(harness, 'x', '', '1');
  await harness.clock.advance(250);
  expect([harness.held, harness.sent, harness.letters]).toEqual([0, [], []]);
});

test('a lane that hangs holds up no other of the same organization; each keeps its order', async () => {
  const harness = withLanes({ answer: inLane('sick', HANG) });
  for (const id of numbers(0, 20)) {
    accept(harness, 'x', 'sick+well', id);
    await harness.clock.advance(100);
  }
  await harness.clock.advance(1_000);
  expect(of(harness, 'well')).toEqual(numbers(0, 20));
  expect(harness.sent.filter(({ lane }) => lane === 'sick')).toHaveLength(1);
});

test('a lane that fails is parked and read back alone, in order', async () => {
  let up = false;
  const harness = withLanes({ answer: inLane('sick', () => (up ? DELIVERED : DOWN)) });
  accept(harness, 'x', 'sick+well', ...numbers(0, 5));
  await harness.clock.advance(15_000);
  accept(harness, 'x', 'sick+well', ...numbers(5, 10));
  await harness.clock.advance(1_000);
  expect(of(harness, 'well')).toEqual(numbers(0, 10));
  expect(harness.lot.rows.map(({ lane, event: { eventId } }) => `${lane} ${eventId}`)).toEqual(
    numbers(0, 10).map((id) => `sick ${id}`),
  );
  expect([...harness.router.failing()].map(({ lane }) => lane)).toEqual(['sick']);
  up = true;
  const before = harness.sent.length;
  await harness.clock.advance(30_000);
  expect(harness.sent.slice(before).flatMap(({ events }) => events)).toEqual(numbers(0, 10));
  expect(harness.lot.rows).toEqual([]);
  expect(harness.settled).toBe(20);
});

test('an event is given up in one lane and delivered in the other; the letter names the lane, and goes back there', async () => {
  const harness = withLanes({ answer: inLane('sick', () => ({ kind: 'rejected', reason: '410' })) });
  accept(harness, 'x', 'sick+well', '1');
  await harness.clock.advance(250);
  expect(harness.letters).toMatchObject([{ sink: 'a', lane: 'sick', reason: 'rejected' }]);
  expect(harness.router.state().bufferedBytes).toBe(0);
  harness.router.acceptAt(event('x', '1', { topic: 'other', origin: makeOrigin({ job: 'redrive-1' }) }), 'a', 'sick');
  await harness.clock.advance(250);
  expect(requests(harness)).toEqual(['sick:1', 'well:1', 'sick:1']);
});

describe('after a restart', () => {
  test('each lane goes on with its rows, and waits for what comes again', async () => {
    const lot = new MemoryLot();
    const origin = makeOrigin();
    const row = (id: string): Event => event('x', id, { origin });
    lot.park({ sink: 'a', organizationId: 'x', lane: 'p' }, [row('1')], () => undefined);
    lot.park({ sink: 'a', organizationId: 'x', lane: 'q' }, [row('2')], () => undefined);
    const harness = withLanes({ lot });
    await harness.settle();
    const [p, q] = lot.lanes();
    const redeliveredUntil = origin.commitLsn as bigint;
    harness.router.restore(
      [p, q].flatMap((lane) => (lane ? [lane.lane === 'q' ? { ...lane, redeliveredUntil } : lane] : [])),
    );
    await harness.clock.advance(1_000);
    expect(requests(harness)).toEqual(['p:1']);
    harness.router.passed(redeliveredUntil + 1n);
    await harness.clock.advance(1_000);
    expect(requests(harness)).toEqual(['p:1', 'q:2']);
  });

  test('a lane that failed goes on counting, and its neighbour begins anew', async () => {
    const harness = withLanes({ answer: () => DOWN });
    const failure = { state: 'failing' as const, since: -9, reason: '', code: null, answer: null, nextTryAt: null };
    harness.router.restore([], [], [{ sink: 'a', organizationId: 'x', lane: 'p', attempts: 4, ...failure }]);
    accept(harness, 'x', 'p+q', '1');
    await harness.clock.advance(250);
    expect(harness.sent.map(({ lane, attempt }) => [lane, attempt])).toEqual([['p', 5], ['q', 1]]); // prettier-ignore
  });
});

describe('people', () => {
  /** Both lanes of x are parked and wait for a minute or more. */
  async function waiting(): Promise<Harness> {
    const harness = withLanes({ answer: () => ({ kind: 'unavailable', reason: '429', retryAfter: 600_000 }) });
    accept(harness, 'x', 'p+q', '1');
    accept(harness, 'y', 'p', '2');
    await harness.clock.advance(30_000);
    expect(harness.lot.rows).toHaveLength(3);
    harness.sent.length = 0;
    return harness;
  }

  test.each([
    ['one lane', { sink: 'a', organizationId: 'x', lane: 'q' }, ['q:1']],
    ['all lanes of an organization', { sink: 'a', organizationId: 'x' }, ['p:1', 'q:1']],
    ['all lanes of a sink', { sink: 'a' }, ['p:1', 'p:2', 'q:1']],
  ])('wake %s', async (_, part, expected) => {
    const harness = await waiting();
    harness.router.wake(part);
    await harness.clock.advance(10);
    expect(requests(harness)).toEqual(expected);
  });

  test('pause an organization with all its lanes, or one lane', async () => {
    const harness = withLanes();
    harness.router.pause([
      { sink: 'a', organizationId: 'x' },
      { sink: 'a', organizationId: 'y', lane: 'p' },
    ]);
    accept(harness, 'x', 'p+q', '1');
    accept(harness, 'y', 'p+q', '2');
    await harness.clock.advance(1_000);
    expect(requests(harness)).toEqual(['q:2']);
    expect(harness.lot.rows.map(({ lane, event: { eventId } }) => `${lane}:${eventId}`)).toEqual(['p:1', 'q:1', 'p:2']);
    expect(harness.router.isPaused({ sink: 'a', organizationId: 'y', lane: 'p' })).toBe(true);
    expect(harness.router.isPaused({ sink: 'a', organizationId: 'y', lane: 'q' })).toBe(false);
    harness.router.pause([]);
    await harness.clock.advance(1_000);
    expect(requests(harness).slice(1)).toEqual(['p:1', 'p:2', 'q:1']);
  });

  test('a dead letter blocks its lane and no other, here and after a restart', async () => {
    const config = { delivery: { on_dead_letter: 'block' } };
    const harness = withLanes({ config, answer: inLane('p', () => ({ kind: 'rejected', reason: '410' })) });
    accept(harness, 'x', 'p+q', '1');
    await harness.clock.advance(250);
    accept(harness, 'x', 'p+q', '2');
    await harness.clock.advance(1_000);
    expect(requests(harness)).toEqual(['p:1', 'q:1', 'q:2']);
    expect(harness.router.blocked()).toMatchObject([{ organizationId: 'x', lane: 'p' }]);

    const next = withLanes({ config, lot: harness.lot });
    next.router.restore(next.lot.lanes(), [{ sink: 'a', organizationId: 'x', lane: 'p' }]);
    accept(next, 'x', 'p+q', '3');
    await next.clock.advance(1_000);
    expect(requests(next)).toEqual(['q:3']);
    next.router.unblock(next.router.blocked(), [{ sink: 'a', organizationId: 'x', lane: 'q' }]);
    await next.clock.advance(1_000);
    expect(requests(next)).toEqual(['q:3', 'p:2,3']);
  });
});

describe('turns', () => {
  const fifty = numbers(0, 50).map((n) => `lane ${n}`);

  test('an organization with fifty due lanes gets one turn in n, like one with one lane', async () => {
    const harness = withLanes({ concurrency: 1 });
    for (const lane of fifty) accept(harness, 'large', lane, lane);
    for (const n of numbers(0, 20)) accept(harness, `small ${n}`, 'p', n);
    await harness.clock.advance(300);
    const turns = harness.sent.map(({ organization }) => organization);
    expect(turns.slice(0, 21).filter((organization) => organization === 'large')).toHaveLength(1);
    expect(turns).toHaveLength(70);
  });

  test('when they hang all at once, others still have turns', async () => {
    const harness = withLanes({ concurrency: 16, answer: (batch) => (batch.organizationId === 'large' ? HANG() : DELIVERED) }); // prettier-ignore
    for (const lane of fifty) accept(harness, 'large', lane, lane);
    await harness.clock.advance(300);
    expect(harness.sent).toHaveLength(14);
    accept(harness, 'small', 'p', ...numbers(0, 3));
    await harness.clock.advance(300);
    expect(harness.sent.slice(14).map(({ organization, events }) => [organization, events])).toEqual([['small', ['0', '1', '2']]]); // prettier-ignore
  });

  test('those that took the whole timeout leave a part of the share of the slow to others too', async () => {
    const releases: { organization: string; run: () => void }[] = [];
    const release = (of: string): void => {
      for (const { organization, run } of releases) if (organization === of) run();
    };
    const slow: Verdicts = { kind: 'unavailable', reason: 'timeout', slow: true };
    const harness = withLanes({
      concurrency: 16, // two of them for the slow
      answer: ({ organizationId: organization }) =>
        new Promise((resolve) => releases.push({ organization, run: () => resolve(slow) })),
      config: { delivery: { quick_retries: 0, breaker: { reset_after: '10ms' } } },
    });
    for (const lane of fifty.slice(0, 10)) accept(harness, 'large', lane, lane);
    accept(harness, 'small', 'p', '1');
    await harness.clock.advance(300);
    release('large');
    await harness.clock.advance(3_000);
    expect(harness.sent).toHaveLength(12);
    release('small');
    await harness.clock.advance(3_000);
    expect(harness.sent.slice(11).map(({ organization }) => organization)).toEqual(['large', 'small']);
  });
});

describe('memory', () => {
  const SIZE = 10_000;
  const lanesOf = (count: number): string => numbers(0, count).join('+');
  const big = (organization: string, id: string, topic: string): Event =>
    event(organization, id, { topic, size: SIZE, origin: makeOrigin() });

  test('a payload counts once, with a little for each further lane, and is given back with the last', async () => {
    const releases: (() => void)[] = [];
    const harness = withLanes({
      concurrency: 100,
      answer: () => new Promise((resolve) => releases.push(() => resolve(DELIVERED))),
    });
    const one = big('x', '1', lanesOf(20));
    harness.router.accept(one);
    const used = (): number => harness.router.state().bufferedBytes;
    expect(used()).toBeGreaterThan(footprint(one));
    expect(used()).toBeLessThan(1.5 * footprint(one));
    await harness.clock.advance(250);
    for (const release of releases.splice(1)) release();
    await harness.settle();
    expect(used()).toBe(footprint(one));
    releases[0]?.();
    await harness.settle();
    expect(used()).toBe(0);
  });

  test('sinks share it too', () => {
    const harness = new Harness({ sinks: ['a', 'b', 'c'] });
    const one = event('x', '1', { size: SIZE });
    harness.router.accept(one);
    expect(harness.router.state().bufferedBytes).toBeLessThan(1.5 * footprint(one));
  });

  test('an organization over its share is parked for load, however its lanes divide that; others are not', async () => {
    const harness = withLanes({ config: { memory: { budget: '1MiB' } }, answer: HANG, concurrency: 1 });
    harness.router.accept(big('small', 's', 'p'));
    for (let n = 0; harness.pressure.length === 0; n += 1)
      harness.router.accept(big('large', `${n}`, `lane ${n % 20}`));
    await harness.settle();
    expect(harness.pressure).toEqual([true, false]);
    const parked = new Set(harness.lot.rows.map(({ event: { organizationId } }) => organizationId));
    expect([...parked]).toEqual(['large']);
    expect(harness.router.state().bufferedBytes).toBeGreaterThan(1024 ** 2 / 16); // no more than has to go
  });

  test('where nobody else is, a lane over its share is parked, and its neighbours go on', async () => {
    const harness = withLanes({ config: { memory: { budget: '1MiB' } }, answer: inLane('sick', HANG) });
    for (let n = 0; harness.pressure.length === 0; n += 1) {
      harness.router.accept(big('x', `${n}`, n % 10 === 0 ? 'well' : 'sick'));
    }
    await harness.settle();
    expect(harness.pressure).toEqual([true, false]);
    expect(new Set(harness.lot.rows.map(({ lane }) => lane))).toEqual(new Set(['sick']));
  });
});
