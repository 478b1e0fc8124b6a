import { expect, test } from 'vitest';
import type { Clock } from '../../src/clock.ts';
import { TimerHeap } from '../../src/router/timing/timer-heap.ts';
import { ManualClock } from '../support/manual-clock.ts';

/** How many rang in each turn of the event loop. */
function counting(clock: ManualClock): { readonly clock: Clock; readonly turns: number[]; ring(): void } {
  const turns: number[] = [];
  return {
    turns,
    ring: () => void (turns[turns.length - 1] = (turns.at(-1) ?? 0) + 1),
    clock: {
      now: () => clock.now(),
      wallTime: () => clock.wallTime(),
      schedule: (delay, callback) =>
        clock.schedule(delay, () => {
          turns.push(0);
          callback();
        }),
    },
  };
}

test('what is due at once rings in its order, a thousand in a turn', async () => {
  const manual = new ManualClock();
  const { clock, turns, ring } = counting(manual);
  const rung: number[] = [];
  const heap = new TimerHeap<number>(clock, (item) => {
    rung.push(item);
    ring();
  });
  for (let item = 0; item < 2_500; item++) heap.set(item, 10 + item / 1_000);
  heap.set(9_999, 1_000);
  manual.standStill(20);
  await manual.advance(0);
  expect(rung).toEqual(Array.from({ length: 2_500 }, (_, item) => item));
  expect(turns).toEqual([1_000, 1_000, 500]);
  expect(heap.waiting).toBe(1);
  await manual.advance(1_000);
  expect(rung.at(-1)).toBe(9_999);
});

test('what is set while others ring waits for its own moment', async () => {
  const manual = new ManualClock();
  const rung: string[] = [];
  const heap = new TimerHeap<string>(manual, (item) => {
    rung.push(item);
    if (item === 'first') heap.set('later', 5);
  });
  heap.set('first', 1);
  await manual.advance(5);
  expect(rung).toEqual(['first']);
  await manual.advance(1);
  expect(rung).toEqual(['first', 'later']);
});
