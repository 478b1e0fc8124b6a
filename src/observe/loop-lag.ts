import { monitorEventLoopDelay } from 'node:perf_hooks';

/** A finer resolution would be most of the cost of an idle process; the limits are seconds. */
const RESOLUTION_MS = 100;
const SPAN_MS = 15_000;

/** The longest delay of the event loop in the last 15 to 30 seconds. */
export class LoopLag implements Disposable {
  private readonly histogram = monitorEventLoopDelay({ resolution: RESOLUTION_MS });
  private readonly timer: NodeJS.Timeout;
  private before = 0;

  constructor() {
    this.histogram.enable();
    this.timer = setInterval(() => this.turn(), SPAN_MS);
    this.timer.unref();
  }

  milliseconds(): number {
    return Math.max(this.before, this.longest());
  }

  [Symbol.dispose](): void {
    clearInterval(this.timer);
    this.histogram.disable();
  }

  private turn(): void {
    this.before = this.longest();
    this.histogram.reset();
  }

  private longest(): number {
    return Math.max(0, this.histogram.max / 1e6 - RESOLUTION_MS);
  }
}
