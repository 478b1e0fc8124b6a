/**
 * The time limits of the attempts that are under way at one sink.
 *
 * An attempt ends by itself, by the timeout, or because the caller's signal aborts. In the last two cases the signal that
 * the sink was given aborts, the sink has a moment for its last words, and then the wait is given up.
 *
 * With many organizations nearly every event is a batch of its own, and making an AbortSignal costs more than all else
 * around a batch. So a signal that did not abort serves the next attempt, and the caller's signal is listened to once.
 */
import type { Clock, Timer } from '../clock.ts';

export type Stop = 'timeout' | 'stopped';

/** The sink had its last words, and used none. */
export const SILENT = Symbol('silent');

const LAST_WORDS = 500;

export class Deadlines {
  readonly #clock: Clock;
  readonly #timeout: number;
  readonly #running = new Set<Deadline>();
  readonly #idle: AbortController[] = [];
  readonly #watched = new WeakSet<AbortSignal>();

  constructor(clock: Clock, timeout: number) {
    this.#clock = clock;
    this.#timeout = timeout;
  }

  begin(outer: AbortSignal | undefined): Deadline {
    const deadline = new Deadline(this.#clock, outer, this.#idle.pop() ?? new AbortController());
    deadline.start(this.#timeout);
    this.#running.add(deadline);
    if (outer && !this.#watched.has(outer)) this.#watch(outer);
    return deadline;
  }

  end(deadline: Deadline): void {
    deadline.cancel();
    this.#running.delete(deadline);
    if (!deadline.stop) this.#idle.push(deadline.controller);
  }

  #watch(outer: AbortSignal): void {
    this.#watched.add(outer);
    const stop = (): void => {
      for (const deadline of this.#running) if (deadline.outer === outer) deadline.abort('stopped');
    };
    outer.addEventListener('abort', stop, { once: true });
  }
}

export class Deadline {
  /** Why the attempt was ended; undefined while it may go on. */
  stop: Stop | undefined;
  readonly outer: AbortSignal | undefined;
  readonly controller: AbortController;
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #giveUp: (silent: typeof SILENT) => void = () => {};

  constructor(clock: Clock, outer: AbortSignal | undefined, controller: AbortController) {
    this.#clock = clock;
    this.outer = outer;
    this.controller = controller;
  }

  get signal(): AbortSignal {
    return this.controller.signal;
  }

  start(timeout: number): void {
    this.#timer = this.#clock.schedule(timeout, () => this.abort('timeout'));
  }

  /** The work's own end, or SILENT some time after the signal has aborted. */
  bound<T>(work: Promise<T>): Promise<T | typeof SILENT> {
    return new Promise((resolve, reject) => {
      this.#giveUp = resolve;
      work.then(resolve, reject);
    });
  }

  abort(stop: Stop): void {
    if (this.stop) return;
    this.stop = stop;
    this.cancel();
    this.#timer = this.#clock.schedule(LAST_WORDS, () => this.#giveUp(SILENT));
    this.controller.abort();
  }

  cancel(): void {
    this.#timer?.cancel();
  }
}
