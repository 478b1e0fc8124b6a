/** Turns at a destination that takes one request in an interval, counted for each key (a channel, or an account). */
import type { Clock } from '../clock.ts';

const MOST_KEYS = 1024;

export class Pacer {
  private readonly clock: Clock;
  private readonly interval: number;
  /** When the next turn of a key begins. */
  private readonly next = new Map<string, number>();

  /** @param interval milliseconds between two turns */
  constructor(clock: Clock, interval: number) {
    this.clock = clock;
    this.interval = interval;
  }

  /** Resolves when the turn has come; false when the signal aborted before. */
  turn(key: string, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    const now = this.clock.now();
    const at = Math.max(now, this.next.get(key) ?? 0);
    this.next.set(key, at + this.interval);
    if (this.next.size > MOST_KEYS) this.forgetPast(now);
    if (at === now) return Promise.resolve(true);
    return new Promise((resolve) => {
      const abort = (): void => {
        timer.cancel();
        resolve(false);
      };
      const timer = this.clock.schedule(at - now, () => {
        signal.removeEventListener('abort', abort);
        resolve(true);
      });
      signal.addEventListener('abort', abort, { once: true });
    });
  }

  /** No new turn of the key begins for this long. */
  hold(key: string, milliseconds: number): void {
    this.next.set(key, Math.max(this.next.get(key) ?? 0, this.clock.now() + milliseconds));
  }

  private forgetPast(now: number): void {
    for (const [key, at] of this.next) if (at <= now) this.next.delete(key);
  }
}
