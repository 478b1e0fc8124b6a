import type { Clock, Timer } from '../../src/clock.ts';

interface Waiting {
  readonly at: number;
  readonly order: number;
  readonly callback: () => void;
}

/** A clock whose hands the test turns. Timers ring in the order of their moments while it advances. */
export class ManualClock implements Clock {
  private moment = 0;
  private order = 0;
  private timers: Waiting[] = [];

  now(): number {
    return this.moment;
  }

  wallTime(): number {
    return 1_800_000_000_000 + this.moment;
  }

  schedule(delayMs: number, callback: () => void): Timer {
    const waiting = { at: this.moment + Math.max(0, delayMs), order: this.order++, callback };
    this.timers.push(waiting);
    return { cancel: () => void (this.timers = this.timers.filter((timer) => timer !== waiting)) };
  }

  /** Timers that have not rung. */
  get pending(): number {
    return this.timers.length;
  }

  /** Time passes and nothing runs, as while a process is stopped; timers that are due ring at the next `advance`. */
  standStill(ms: number): void {
    this.moment += ms;
  }

  /** Turns the hands; callbacks see the moment they asked for, and promises they resolve have run before the next. */
  async advance(ms: number): Promise<void> {
    const end = this.moment + ms;
    for (;;) {
      const next = this.timers.toSorted((a, b) => a.at - b.at || a.order - b.order)[0];
      if (!next || next.at > end) break;
      this.timers = this.timers.filter((timer) => timer !== next);
      this.moment = Math.max(this.moment, next.at);
      next.callback();
      await settleMicrotasks();
    }
    this.moment = end;
    await settleMicrotasks();
  }
}

/** Lets every promise that is already resolved run its reactions. */
export async function settleMicrotasks(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}
