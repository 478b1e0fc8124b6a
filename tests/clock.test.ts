import { expect, test } from 'vitest';
import { pause, systemClock } from '../src/clock.ts';

test('a delay that is longer than a timer of Node can be does not fire at once', async () => {
  let fired = false;
  const timer = systemClock.schedule(30 * 86_400_000, () => (fired = true));
  await pause(systemClock, 20);
  timer.cancel();
  expect(fired).toBe(false);
});

test('a delay that is over already calls back, and Node has nothing to warn of', async () => {
  const warnings: string[] = [];
  const keep = (warning: Error): void => void warnings.push(warning.name);
  process.on('warning', keep);
  await new Promise<void>((resolve) => systemClock.schedule(-14_764.4, resolve));
  await new Promise((resolve) => setImmediate(resolve));
  process.off('warning', keep);
  expect(warnings).toEqual([]);
});
