/**
 * Turns at a destination that takes one request in an interval, counted for each key (a channel, or an account).
 *
 * Who waits stands in a queue and has no moment of its own: one who gives up leaves no gap. Otherwise those who give up
 * could take turns faster than time passes, and nobody would ever be served.
 */
import type { Clock, Timer } from '../clock.ts';

const MOST_KEYS = 1024;

interface Line {
  /** When the next turn begins. */
  next: number;
  /** Each is called when its turn has come. */
  readonly waiting: Set<() => void>;
  timer: Timer | undefined;
}

export class Pacer {
  private readonly clock: Clock;
  private readonly interval: number;
  private readonly lines = new Map<string, Line>();

  /** @param interval milliseconds between two turns */
  constructor(clock: Clock, interval: number) {
    this.clock = clock;
    this.interval = interval;
  }

  /** Resolves when the turn has come; false when the signal aborted before. */
  turn(key: string, signal: AbortSignal): Promise<boolean> {
    if (signal.aborted) return Promise.resolve(false);
    const line = this.lineOf(key);
    return new Promise((resolve) => {
      const abort = (): void => {
        line.waiting.delete(begin);
        resolve(false);
      };
      const begin = (): void => {
        signal.removeEventListener('abort', abort);
        resolve(true);
      };
      line.waiting.add(begin);
      signal.addEventListener('abort', abort, { once: true });
      this.serve(line);
    });
  }

  /** No new turn of the key begins for this long, also of those that wait already. */
  hold(key: string, milliseconds: number): void {
    const line = this.lineOf(key);
    line.next = Math.max(line.next, this.clock.now() + milliseconds);
  }

  private serve(line: Line): void {
    const [first] = line.waiting;
    if (!first || line.timer) return;
    const now = this.clock.now();
    if (line.next <= now) {
      line.waiting.delete(first);
      line.next = now + this.interval;
      first();
      return this.serve(line);
    }
    line.timer = this.clock.schedule(line.next - now, () => {
      line.timer = undefined;
      this.serve(line);
    });
  }

  private lineOf(key: string): Line {
    const known = this.lines.get(key);
    if (known) return known;
    if (this.lines.size >= MOST_KEYS) this.forgetPast();
    const line: Line = { next: 0, waiting: new Set(), timer: undefined };
    this.lines.set(key, line);
    return line;
  }

  private forgetPast(): void {
    const now = this.clock.now();
    for (const [key, { next, waiting }] of this.lines) if (next <= now && waiting.size === 0) this.lines.delete(key);
  }
}
