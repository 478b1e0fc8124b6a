/**
 * The time limits of the attempts in flight at one sink.
 *
 * An attempt ends by itself, by the timeout, or because the caller's signal aborts. In the last two cases the signal of the
 * sink aborts. The sink then has a short grace period to report what it has delivered.
 *
 * A sink that makes one request after the other has the timeout for each of them. Requests begin only within the first
 * timeout, so an attempt lasts no longer than two.
 *
 * With many organizations nearly every event is a batch of its own, and creating an AbortSignal is the most expensive part
 * of an attempt. So a signal that did not abort is used again, and the caller's signal gets one listener.
 */
import type { Clock, Timer } from '../../clock.ts';
import type { AttemptTime } from '../../pipeline.ts';

export type Stop = 'timeout' | 'stopped';

/** The sink reported nothing within the grace period. */
export const SILENT = Symbol('silent');

const LAST_WORDS = 500;

export class Deadlines {
  private readonly clock: Clock;
  private readonly timeout: number;
  private readonly running = new Set<Deadline>();
  private readonly idle: AbortController[] = [];
  private readonly watched = new WeakSet<AbortSignal>();

  constructor(clock: Clock, timeout: number) {
    this.clock = clock;
    this.timeout = timeout;
  }

  begin(outer: AbortSignal | undefined): Deadline {
    const deadline = new Deadline(this.clock, outer, this.idle.pop() ?? new AbortController());
    deadline.start(this.timeout);
    this.running.add(deadline);
    if (outer && !this.watched.has(outer)) this.watch(outer);
    return deadline;
  }

  end(deadline: Deadline): void {
    deadline.cancel();
    this.running.delete(deadline);
    if (!deadline.stop) this.idle.push(deadline.controller);
  }

  private watch(outer: AbortSignal): void {
    this.watched.add(outer);
    const stop = (): void => {
      for (const deadline of this.running) if (deadline.outer === outer) deadline.abort('stopped');
    };
    outer.addEventListener('abort', stop, { once: true });
  }
}

export class Deadline implements AttemptTime {
  /** Why the attempt was ended; undefined while it may go on. */
  stop: Stop | undefined;
  readonly outer: AbortSignal | undefined;
  readonly controller: AbortController;
  private readonly clock: Clock;
  private timer: Timer | undefined;
  private timeout = 0;
  private begun = 0;
  private giveUp: (silent: typeof SILENT) => void = () => {};

  constructor(clock: Clock, outer: AbortSignal | undefined, controller: AbortController) {
    this.clock = clock;
    this.outer = outer;
    this.controller = controller;
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  start(timeout: number): void {
    this.timeout = timeout;
    this.begun = this.clock.now();
    this.timer = this.clock.schedule(timeout, () => this.abort('timeout'));
  }

  beginRequest(): boolean {
    const passed = this.clock.now() - this.begun;
    if (this.stop || passed >= this.timeout) return false;
    if (passed > 0) {
      this.cancel();
      this.timer = this.clock.schedule(this.timeout, () => this.abort('timeout'));
    }
    return true;
  }

  /** The work's own end, or SILENT some time after the signal has aborted. */
  bound<T>(work: Promise<T>): Promise<T | typeof SILENT> {
    return new Promise((resolve, reject) => {
      this.giveUp = resolve;
      work.then(resolve, reject);
    });
  }

  abort(stop: Stop): void {
    if (this.stop) return;
    this.stop = stop;
    this.cancel();
    this.timer = this.clock.schedule(LAST_WORDS, () => this.giveUp(SILENT));
    this.controller.abort();
  }

  cancel(): void {
    this.timer?.cancel();
  }
}
