import type { Clock } from '../../src/clock.ts';

/** A clock that runs `speed` times as fast as the real one: its minutes are real seconds at a speed of 60. */
export function fastClock(speed: number): Clock {
  const begun = performance.now();
  const wallBegun = Date.now();
  const now = (): number => begun + (performance.now() - begun) * speed;
  return {
    now,
    wallTime: () => wallBegun + now() - begun,
    schedule(delayMs, callback) {
      const timer = setTimeout(callback, delayMs / speed);
      return { cancel: () => clearTimeout(timer) };
    },
  };
}
