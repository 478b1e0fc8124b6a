import { expect, test } from 'vitest';
import type { Verdict } from '../../src/pipeline.ts';
import { DELIVERED } from '../../src/pipeline.ts';
import { Harness } from './harness.ts';

const DOWN: Verdict = { kind: 'unavailable', reason: 'away' };

const parkedOf = (harness: Harness, numbersOnly: boolean): number => harness.router.state(numbersOnly).lanes.parked;

/** As many lanes of a sink that is paused. */
function fill(harness: Harness, organizations: number): void {
  for (let n = 0; n < organizations; n++) harness.accept(`organization-${n}`, `event-${n}`);
}

test('few lanes are counted whenever somebody asks', async () => {
  const harness = new Harness({ answer: () => DOWN });
  harness.router.pause([{ sink: 'a', organizationId: null }]);
  fill(harness, 100);
  expect(harness.router.state(true).lanes.paused).toBe(100);
  fill(harness, 200);
  expect(harness.router.state(true).lanes.paused).toBe(200);
});

test('of many lanes numbers are five seconds old at most, and a whole state is exact', async () => {
  const harness = new Harness({ answer: () => DOWN });
  const paused = (numbersOnly: boolean): number => harness.router.state(numbersOnly).lanes.paused;
  harness.router.pause([{ sink: 'a', organizationId: null }]);
  fill(harness, 10_001);
  await harness.clock.advance(500);
  expect(paused(true)).toBe(10_001);
  fill(harness, 10_003);
  await harness.clock.advance(500);
  expect([paused(true), paused(false)]).toEqual([10_001, 10_003]); // the last count is shown
  await harness.clock.advance(5_000);
  expect(paused(true)).toBe(10_003);
});

test('when few are left, the last count of many is forgotten', async () => {
  let away = true;
  const harness = new Harness({ answer: () => (away ? DOWN : DELIVERED) });
  fill(harness, 10_001);
  await harness.clock.advance(60_000);
  expect(parkedOf(harness, true)).toBe(10_001);
  away = false;
  await harness.clock.advance(600_000);
  expect([parkedOf(harness, true), parkedOf(harness, false)]).toEqual([0, 0]);
});
