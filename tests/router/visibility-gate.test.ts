import { expect, test } from 'vitest';
import { VisibilityGate } from '../../src/router/timing/visibility-gate.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { makeOrigin } from './harness.ts';

function gate(clock = new ManualClock()): VisibilityGate {
  return new VisibilityGate({
    enabled: true,
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
  await new Promise<void>((resolve) => setImmediate(resolve));
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
  await new Promise<void>((resolve) => setImmediate(resolve));
  expect(begin()).toBe(true);
  await clock.advance(3_000_000);
  expect(begin()).toBe(true);
  await clock.advance(1_000_000);
  expect(begin()).toBe(false);
  own.ask();
  await new Promise<void>((resolve) => setImmediate(resolve));
  expect(begin()).toBe(true);
  own.close();
});
