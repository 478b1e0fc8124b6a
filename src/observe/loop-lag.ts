import { monitorEventLoopDelay } from 'node:perf_hooks';

/** A finer one would be most of what an idle process costs; the limits are seconds. */
const RESOLUTION_MS = 100;
const SPAN_MS = 15_000;

/** The longest that the event loop was held up in the last 15 to 30 seconds. */
export class LoopLag implements Disposable {
  readonly #histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  readonly #timer: NodeJS.Timeout;
  #before = 0;

  constructor() {
    this.#histogram.enable();
    this.#timer = setInterval(() => this.#turn(), SPAN_MS);
    this.#timer.unref();
  }

  milliseconds(): number {
    return Math.max(this.#before, this.#longest());
  }

  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#histogram.disable();
  }

  #turn(): void {
    this.#before = this.#longest();
    this.#histogram.reset();
  }

  #longest(): number {
    return Math.max(0, this.#histogram.max / 1e6 - RESOLUTION_MS);
  }
}
