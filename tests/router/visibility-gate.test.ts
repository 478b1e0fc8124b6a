import { expect, test } from 'vitest';
import type { Origin } from '../../src/event.ts';
import { VisibilityGate } from '../../src/router/timing/visibility-gate.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { makeOrigin } from './harness.ts';

/** One turn of the event loop: every promise that can settle has. */
const settled = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));

function gate(clock = new ManualClock()): VisibilityGate {
  return new VisibilityGate({
    enabled: true,
    asksEarly: false,
    takeSnapshot: () => Promise.resolve((xid) => xid < 50_000),
    clock,
    onVisible: () => undefined,
    onError: () => undefined,
  });
}

test('keeps nothing of transactions that nobody waits for, and all that somebody does', async () => {
  const own = gate();
  const waited = [10, 20_000, 99_998].map((xid) => makeOrigin({ visible: false, xid, isSettled: false }));
  const open = makeOrigin({ visible: false, xid: 99_999 });
  for (let xid = 0; xid < 100_000; xid += 1) {
    own.begin(
      [...waited, open].find((origin) => origin.xid === xid) ?? makeOrigin({ visible: false, xid, isSettled: true }),
    );
  }
  expect(own.waiting).toBeLessThan(2_000);
  own.ask();
  await settled();
  expect(waited.map(({ visible }) => visible)).toEqual([true, true, false]);
  expect(own.waiting).toBeGreaterThanOrEqual(2);
  own.close();
});

test('an answer is good for a while, not until 32 bits of an xid come round again', async () => {
  const clock = new ManualClock();
  const own = gate(clock);
  const begin = (): boolean => {
    const origin = makeOrigin({ visible: false, xid: 40_000, receivedAt: clock.now() });
    own.begin(origin);
    return origin.visible;
  };
  own.ask();
  await settled();
  expect(begin()).toBe(true);
  await clock.advance(3_000_000);
  expect(begin()).toBe(true);
  await clock.advance(1_000_000);
  expect(begin()).toBe(false);
  own.ask();
  await settled();
  expect(begin()).toBe(true);
  own.close();
});

interface Looks {
  readonly own: VisibilityGate;
  readonly clock: ManualClock;
  /** Answers the look under way: it sees the transactions below `xmax`. */
  answer(xmax: number): Promise<void>;
  /** The look under way fails. */
  fail(): Promise<void>;
  /** Called when something became visible. */
  onVisible: () => void;
  readonly count: number;
  readonly errors: readonly string[];
}

/** A gate that asks early, whose looks the test answers. */
function early(asksEarly = true): Looks {
  const clock = new ManualClock();
  const errors: string[] = [];
  let answer: (sees: (xid: number) => boolean) => void = () => undefined;
  let refuse: (error: Error) => void = () => undefined;
  let count = 0;
  const own = new VisibilityGate({
    enabled: true,
    asksEarly,
    takeSnapshot: () => {
      count += 1;
      return new Promise((resolve, reject) => {
        answer = resolve;
        refuse = reject;
      });
    },
    clock,
    onVisible: () => looks.onVisible(),
    onError: (message) => errors.push(message),
  });
  const looks = {
    own,
    clock,
    errors,
    async answer(xmax: number) {
      answer((xid) => xid < xmax);
      await settled();
    },
    async fail() {
      refuse(new Error('no answer'));
      await settled();
    },
    onVisible: (): void => undefined,
    get count() {
      return count;
    },
  };
  return looks;
}

const unseen = (xid: number, fields: Partial<Origin> = {}): Origin =>
  makeOrigin({ visible: false, xid, carried: true, isSettled: false, ...fields });

test('the Begin asks where a sink sends at once, and what its events ask meanwhile needs no second look', async () => {
  const looks = early();
  let woken = 0;
  looks.onVisible = () => void (woken += 1);
  const origin = unseen(5);
  looks.own.begin(origin);
  expect(looks.count).toBe(1);
  looks.own.ask(); // its first event wants to leave
  await looks.answer(6);
  expect([origin.visible, woken, looks.count]).toEqual([true, 1, 1]);
});

test('without such a sink a Begin asks nothing', () => {
  const looks = early(false);
  looks.own.begin(unseen(5));
  expect(looks.count).toBe(0);
});

test('whoever still waits when others became visible asks again, and gets another look', async () => {
  const looks = early();
  const [first, second] = [unseen(5), unseen(6)];
  looks.onVisible = () => void (second.visible || looks.own.ask());
  looks.own.begin(first);
  looks.own.begin(second);
  looks.own.ask();
  await looks.answer(6);
  expect([first.visible, second.visible, looks.count]).toEqual([true, false, 2]);
  await looks.answer(7);
  expect([second.visible, looks.count]).toEqual([true, 2]);
});

test('an early look that came too early is followed at once by the one that an event asked for', async () => {
  const looks = early();
  const origin = unseen(5);
  looks.own.begin(origin);
  looks.own.ask();
  await looks.answer(5);
  expect([origin.visible, looks.count]).toEqual([false, 2]);
  await looks.answer(5); // this one was asked for, so the next waits
  expect(looks.count).toBe(2);
  await looks.clock.advance(1);
  expect(looks.count).toBe(3);
  await looks.answer(6);
  expect([origin.visible, looks.count]).toEqual([true, 3]);
});

test('an early look that nobody wanted is not repeated', async () => {
  const looks = early();
  looks.own.begin(unseen(5));
  await looks.answer(5);
  await looks.clock.advance(1_000);
  expect(looks.count).toBe(1);
  looks.own.ask();
  expect(looks.count).toBe(2);
});

test.each([
  ['without events', { carried: false, isSettled: true }, 1],
  ['that is not settled', { isSettled: false }, 1],
  ['that is settled', { isSettled: true }, 2],
])('behind a transaction %s', async (_, before, count) => {
  const looks = early();
  looks.own.begin(unseen(5, before));
  await looks.answer(6);
  looks.own.begin(unseen(7));
  expect(looks.count).toBe(count);
});

test('a look that failed is waited for before the next, and is told of only when something waits', async () => {
  const looks = early();
  looks.own.begin(unseen(5, { isSettled: true }));
  await looks.fail();
  looks.own.begin(unseen(6, { isSettled: true }));
  expect([looks.count, looks.errors]).toEqual([1, []]);
  looks.own.ask();
  await looks.clock.advance(1);
  expect(looks.count).toBe(2);
  await looks.fail();
  expect(looks.errors).toEqual(['no answer']);
});

test('after its end it asks nothing, and wakes nobody', async () => {
  const looks = early();
  let woken = 0;
  looks.onVisible = () => void (woken += 1);
  looks.own.begin(unseen(5));
  looks.own.ask();
  looks.own.close();
  await looks.answer(6);
  looks.own.ask();
  expect([looks.count, woken]).toEqual([1, 0]);
});
