/**
 * The time limits of the attempts in flight at one sink.
 *
 * An attempt ends by itself, by the timeout, or because the caller's signal aborts. In the last two cases the signal of the
 * sink aborts. The sink then has a short grace period to report what it has delivered.
 *
 * A sink that makes one request after the other has the timeout for each of them. Requests begin only within the first
 * timeout, so an attempt lasts no longer than two.
 *
 * With many organizations nearly every event is a batch of its own, and an AbortSignal and a timer are the most expensive parts
 * of an attempt. So a signal that did not abort is used again, the caller's signal gets one listener, and since all have the
 * same time one timer is enough: that of the attempt that is due first.
 */
import type { Clock, Timer } from '../../clock.ts';
import type { AttemptTime } from '../../pipeline.ts';

export type Stop = 'timeout' | 'stopped';

/** The sink reported nothing within the grace period. */
export const SILENT = Symbol('silent');

const LAST_WORDS = 500;

export class Deadlines {
  readonly clock: Clock;
  /** Milliseconds. */
  readonly timeout: number;
  private readonly running = new Set<Deadline>();
  private readonly idle: AbortController[] = [];
  private readonly watched = new WeakSet<AbortSignal>();
  private timer: Timer | undefined;

  constructor(clock: Clock, timeout: number) {
    this.clock = clock;
    this.timeout = timeout;
  }

  begin(outer: AbortSignal | undefined): Deadline {
    const deadline = new Deadline(this, outer, this.idle.pop() ?? new AbortController());
    this.running.add(deadline);
    this.timer ??= this.clock.schedule(this.timeout, () => this.expire());
    if (outer && !this.watched.has(outer)) this.watch(outer);
    return deadline;
  }

  end(deadline: Deadline): void {
    deadline.cancel();
    this.running.delete(deadline);
    if (!deadline.stop) this.idle.push(deadline.controller);
    if (this.running.size > 0) return;
    this.timer?.cancel();
    this.timer = undefined;
  }

  /** Ends those whose time is over, and goes on for the first that is due then; no more than once a timeout, or nearly so. */
  private expire(): void {
    this.timer = undefined;
    const now = this.clock.now();
    let first = Infinity;
    for (const deadline of this.running) {
      if (deadline.stop) continue;
      if (deadline.dueAt > now) first = Math.min(first, deadline.dueAt);
      else deadline.abort('timeout');
    }
    if (first < Infinity) this.timer ??= this.clock.schedule(first - now, () => this.expire());
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
  /** Of the request that is under way, on the clock that never jumps. */
  dueAt: number;
  readonly outer: AbortSignal | undefined;
  readonly controller: AbortController;
  private readonly among: Deadlines;
  private readonly begun: number;
  private lastWords: Timer | undefined;
  private giveUp: (silent: typeof SILENT) => void = () => {};

  constructor(among: Deadlines, outer: AbortSignal | undefined, controller: AbortController) {
    this.among = among;
    this.begun = among.clock.now();
    this.dueAt = this.begun + among.timeout;
    this.outer = outer;
    this.controller = controller;
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  /** No timer for each: most requests begin while that of the sink runs, which goes on for what is left. */
  beginRequest(): boolean {
    const { clock, timeout } = this.among;
    const now = clock.now();
    if (this.stop || now - this.begun >= timeout) return false;
    this.dueAt = now + timeout;
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
    this.lastWords = this.among.clock.schedule(LAST_WORDS, () => this.giveUp(SILENT));
    this.controller.abort();
  }

  cancel(): void {
    this.lastWords?.cancel();
  }
}
