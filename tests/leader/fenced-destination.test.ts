import { expect, test } from 'vitest';
import { CrashGuard } from '../../src/leader/crash-guard.ts';
import { fencedDestination } from '../../src/leader/fenced-destination.ts';
import { rerouted } from '../../src/leader/rerouted.ts';
import { DELIVERED, type Destination } from '../../src/pipeline.ts';
import { ManualClock } from '../support/manual-clock.ts';

test('a destination is left alone once the lock is not held', async () => {
  const sent: string[] = [];
  const destination: Destination = {
    name: 'hook',
    concurrency: 3,
    closedFor: 0,
    deliver(batch) {
      sent.push(batch.organizationId);
      return Promise.resolve(DELIVERED);
    },
  };
  let held = true;
  const fenced = fencedDestination(destination, { isHeld: () => held });
  const { signal } = new AbortController();
  expect(fenced).toMatchObject({ name: 'hook', concurrency: 3, closedFor: 0 });
  expect(await fenced.deliver({ organizationId: 'a', events: [], attempt: 1 }, signal)).toBe(DELIVERED);
  held = false;
  expect(await fenced.deliver({ organizationId: 'b', events: [], attempt: 1 }, signal)).toMatchObject({
    kind: 'unavailable',
  });
  expect(sent).toEqual(['a']);
});

test('what a destination says of itself is passed on as it is now, through the fence, the guard and a rule', () => {
  const state = { closedFor: 0, isSerial: false };
  const destination: Destination = {
    name: 'hook',
    concurrency: 3,
    get closedFor() {
      return state.closedFor;
    },
    get isSerial() {
      return state.isSerial;
    },
    deliver: () => Promise.resolve(DELIVERED),
  };
  const laneRule = { lanesFor: () => [], laneAgain: (_event: unknown, before: string) => before };
  const fenced = fencedDestination(rerouted(destination, { laneRule }), { isHeld: () => true });
  expect(fenced).toMatchObject({ closedFor: 0, isSerial: false, laneRule });
  Object.assign(state, { closedFor: 5, isSerial: true });
  expect(fenced).toMatchObject({ closedFor: 5, isSerial: true });
});

test.each([
  [0, false],
  [2, true],
])('after %i starts without progress the guard holds batches: %s', (starts, isSerial) => {
  const record = { starts, blamed: [], note: () => Promise.resolve(false) };
  const guard = new CrashGuard({ record, clock: new ManualClock(), onFullSpeed: () => undefined });
  const destination = { name: 'hook', concurrency: 3, closedFor: 0, deliver: () => Promise.resolve(DELIVERED) };
  expect(fencedDestination(guard.guard(destination), { isHeld: () => true })).toMatchObject({ isSerial });
});
