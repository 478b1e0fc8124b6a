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
      const next = this.first();
      if (!next || next.at > end) break;
      this.timers = this.timers.filter((timer) => timer !== next);
      this.moment = Math.max(this.moment, next.at);
      next.callback();
      await drainPromises();
    }
    this.moment = end;
    await settleMicrotasks();
  }

  private first(): Waiting | undefined {
    return this.timers.reduce<Waiting | undefined>(
      (first, timer) =>
        !first || timer.at < first.at || (timer.at === first.at && timer.order < first.order) ? timer : first,
      undefined,
    );
  }
}

/** As `settleMicrotasks`, but without a turn of the event loop, which would be most of the cost of a simulated day. */
async function drainPromises(): Promise<void> {
  // Node runs a tick that was asked for in a promise's reaction when the queue of reactions is empty.
  await new Promise<void>((resolve) => process.nextTick(resolve));
}

/** Lets every promise that is already resolved run its reactions. */
export async function settleMicrotasks(): Promise<void> {
  await new Promise<void>((resolve) => setImmediate(resolve));
}
