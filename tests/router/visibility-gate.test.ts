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
  /** Answers the oldest look: it sees the transactions below `xmax`. */
  answer(xmax: number): Promise<void>;
  readonly count: number;
  readonly seen: number;
}

/** A gate that asks early, whose looks the test answers. */
function early(asksEarly = true): Looks {
  const clock = new ManualClock();
  const open: ((sees: (xid: number) => boolean) => void)[] = [];
  let count = 0;
  let seen = 0;
  const own = new VisibilityGate({
    enabled: true,
    asksEarly,
    takeSnapshot: () => {
      count += 1;
      return new Promise((resolve) => open.push(resolve));
    },
    clock,
    onVisible: () => void (seen += 1),
    onError: () => undefined,
  });
  return {
    own,
    clock,
    async answer(xmax) {
      open.shift()?.((xid) => xid < xmax);
      await settled();
    },
    get count() {
      return count;
    },
    get seen() {
      return seen;
    },
  };
}

const unseen = (xid: number, carried = true): Origin => makeOrigin({ visible: false, xid, carried });

test('the Begin asks where a sink sends at once, and what its events ask meanwhile needs no second look', async () => {
  const looks = early();
  const origin = unseen(5);
  looks.own.begin(origin);
  expect(looks.count).toBe(1);
  looks.own.ask(); // its first event wants to leave
  await looks.answer(6);
  expect([origin.visible, looks.seen, looks.count]).toEqual([true, 1, 1]);
});

test('without such a sink a Begin asks nothing', () => {
  const looks = early(false);
  looks.own.begin(unseen(5));
  expect(looks.count).toBe(0);
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

test('behind a transaction without events no Begin asks', async () => {
  const looks = early();
  looks.own.begin(unseen(5, false));
  await looks.answer(6);
  looks.own.begin(unseen(6, false));
  expect(looks.count).toBe(1);
  looks.own.begin(unseen(7));
  looks.own.begin(unseen(8));
  expect(looks.count).toBe(2);
});

test('a transaction that came during a look gets another one', async () => {
  const looks = early();
  const [first, second] = [unseen(5), unseen(6)];
  looks.own.begin(first);
  looks.own.begin(second);
  await looks.answer(6);
  expect([first.visible, second.visible]).toEqual([true, false]);
  looks.own.ask(); // as those do whom `onVisible` woke
  await looks.answer(7);
  expect(second.visible).toBe(true);
});
