import type { Event } from '../event.ts';

/**
 * What an event may hold of the heap: its row and, while it is sent, its envelope, each one byte a character, and the
 * objects around them (event, some ten slices of the row, a place in a queue).
 */
export function footprint(event: Event): number {
  return event.size * 2 + 900;
}

/** What all events in the process may hold together. Full at the limit, free again at three quarters of it. */
export class MemoryBudget {
  private readonly limit: number;
  private readonly onChange: (full: boolean) => void;
  private held = 0;
  private isFull = false;
  private reserved = 0;

  constructor(limit: number, onChange: (full: boolean) => void) {
    this.limit = limit;
    this.onChange = onChange;
  }

  get used(): number {
    return this.held;
  }

  get full(): boolean {
    return this.isFull;
  }

  take(bytes: number): void {
    this.held += bytes;
    if (!this.isFull && this.held >= this.limit) this.change(true);
  }

  give(bytes: number): void {
    this.held -= bytes;
    if (this.isFull && this.held <= this.limit * 0.75) this.change(false);
  }

  /**
   * Room for what is about to be read; the returned function gives it back. Undefined when there is none, but one read at a
   * time always finds room unless memory is full.
   */
  reserve(bytes: number): (() => void) | undefined {
    if (this.isFull || (this.reserved > 0 && this.held + this.reserved + bytes > this.limit)) return undefined;
    this.reserved += bytes;
    return () => {
      this.reserved -= bytes;
    };
  }

  private change(full: boolean): void {
    this.isFull = full;
    this.onChange(full);
  }
}
