/** Time as the pipeline sees it, so that tests turn the hands themselves. */
export interface Clock {
  /** Milliseconds on a clock that never jumps. */
  now(): number;
  /** Milliseconds since the Unix epoch. */
  wallTime(): number;
  /** Calls back once, not before `delayMs` has passed; soon when it is negative, as it is for a process that stood still. */
  schedule(delayMs: number, callback: () => void): Timer;
}

export interface Timer {
  cancel(): void;
}

/** Node fires a longer timer at once. */
const LONGEST_TIMER_MS = 2 ** 31 - 1;

export const systemClock: Clock = {
  now: () => performance.now(),
  wallTime: () => Date.now(),
  schedule(delayMs, callback) {
    if (delayMs > LONGEST_TIMER_MS) return scheduleInParts(delayMs, callback);
    const timer = setTimeout(callback, Math.max(0, delayMs)); // Node prints a warning of a negative one
    return { cancel: () => clearTimeout(timer) };
  },
};

/** The same clock; what its callbacks throw goes to `onThrow`, since no caller of theirs could catch it. */
export function guardedClock(clock: Clock, onThrow: (error: unknown) => void): Clock {
  return {
    now: () => clock.now(),
    wallTime: () => clock.wallTime(),
    schedule: (delayMs, callback) =>
      clock.schedule(delayMs, () => {
        try {
          callback();
        } catch (error) {
          onThrow(error);
        }
      }),
  };
}

function scheduleInParts(delayMs: number, callback: () => void): Timer {
  let next: Timer | undefined;
  const first = setTimeout(() => {
    next = systemClock.schedule(delayMs - LONGEST_TIMER_MS, callback);
  }, LONGEST_TIMER_MS);
  return {
    cancel: () => {
      clearTimeout(first);
      next?.cancel();
    },
  };
}

/** Resolves after the delay, or at once when the signal aborts; never rejects. */
export function pause(clock: Clock, delayMs: number, signal?: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal?.aborted) return resolve();
    const done = (): void => {
      timer.cancel();
      signal?.removeEventListener('abort', done);
      resolve();
    };
    const timer = clock.schedule(delayMs, done);
    signal?.addEventListener('abort', done, { once: true });
  });
}
