/**
 * Open windows, closed by one timer.
 *
 * All windows are equally long, so they close in the order in which they opened: a queue and a timer for its head do,
 * however many organizations there are.
 */
import type { Clock, Timer } from '../../clock.ts';
import { Fifo } from '../../fifo.ts';

export class Windows<T> {
  private readonly clock: Clock;
  private readonly length: number;
  private readonly onClose: (item: T) => void;
  private readonly onTick: () => void;
  private readonly items = new Fifo<T>();
  private readonly closings = new Fifo<number>();
  private timer: Timer | undefined;
  private disposed = false;

  /** `onClose` for each window that is over, then `onTick` once. `length` in milliseconds. */
  constructor(clock: Clock, length: number, handlers: { onClose: (item: T) => void; onTick: () => void }) {
    this.clock = clock;
    this.length = length;
    this.onClose = handlers.onClose;
    this.onTick = handlers.onTick;
  }

  get open(): number {
    return this.items.length;
  }

  /** Opens a window; returns the moment it closes. */
  add(item: T): number {
    const closesAt = this.clock.now() + this.length;
    this.items.push(item);
    this.closings.push(closesAt);
    if (!this.timer) this.arm();
    return closesAt;
  }

  /** Closes every window now. */
  closeAll(): void {
    this.closeUntil(Infinity);
  }

  close(): void {
    this.timer?.cancel();
    this.timer = undefined;
    this.disposed = true;
  }

  /** The timer counts as set until all that is due has closed: what opens meanwhile must not set it for its own end. */
  private readonly tick = (): void => {
    this.closeUntil(this.clock.now());
    this.timer = undefined;
    this.arm();
  };

  private arm(): void {
    const next = this.closings.peek();
    if (next === undefined || this.disposed) return;
    this.timer = this.clock.schedule(Math.max(0, next - this.clock.now()), this.tick);
  }

  private closeUntil(now: number): void {
    let closed = false;
    for (let next = this.closings.peek(); next !== undefined && next <= now; next = this.closings.peek()) {
      this.closings.shift();
      this.onClose(this.items.shift() as T);
      closed = true;
    }
    if (closed) this.onTick();
  }
}
