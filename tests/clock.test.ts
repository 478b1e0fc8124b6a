import { expect, test } from 'vitest';
import { pause, systemClock } from '../src/clock.ts';

test('a delay that is longer than a timer of Node can be does not fire at once', async () => {
  let fired = false;
  const timer = systemClock.schedule(30 * 86_400_000, () => (fired = true));
  await pause(systemClock, 20);
  timer.cancel();
  expect(fired).toBe(false);
});
