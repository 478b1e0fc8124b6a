/**
 * Open windows, closed by one timer.
 *
 * All windows are equally long, so they close in the order in which they opened: a queue and a timer for its head do,
 * however many organizations there are.
 */
import type { Clock, Timer } from '../clock.ts';
import { Fifo } from '../fifo.ts';

export class Windows<T> {
  private readonly clock: Clock;
  private readonly length: number;
  private readonly onClose: (item: T) => void;
  private readonly onTick: () => void;
  private readonly items = new Fifo<T>();
  private readonly closings = new Fifo<number>();
  private timer: Timer | undefined;

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
    this.timer ??= this.clock.schedule(this.length, this.tick);
    return closesAt;
  }

  /** Closes every window now. */
  closeAll(): void {
    this.closeUntil(Infinity);
  }

  dispose(): void {
    this.timer?.cancel();
    this.timer = undefined;
  }

  private readonly tick = (): void => {
    this.timer = undefined;
    const next = this.closeUntil(this.clock.now());
    if (next !== undefined) this.timer ??= this.clock.schedule(Math.max(0, next - this.clock.now()), this.tick);
  };

  private closeUntil(now: number): number | undefined {
    let closed = false;
    let next = this.closings.peek();
    while (next !== undefined && next <= now) {
      this.closings.shift();
      this.onClose(this.items.shift() as T);
      closed = true;
      next = this.closings.peek();
    }
    if (closed) this.onTick();
    return next;
  }
}
