import type { Event } from '../event.ts';

/**
 * What an event may hold of the heap: its row and, while it is sent, its envelope, each one byte a character, and the
 * objects around them (event, some ten slices of the row, a place in a queue).
 */
export function footprint(event: Event): number {
  return event.size * 2 + 900;
}

/** What a further lane adds that holds the same event: a place in a queue, and its share of what is made while it is sent. */
const PLACE = 200;

/** What an event adds that goes into so many lanes. The payload is held once; the lanes give it back one by one. */
export function takenBy(event: Event, lanes: number): number {
  if (lanes > 1) event.otherHolders = lanes - 1;
  return footprint(event) + (lanes - 1) * PLACE;
}

/** What is free when one lane lets go of the event: all of it with the last. */
export function freedBy(event: Event): number {
  const { otherHolders: others = 0 } = event;
  if (others === 0) return footprint(event);
  event.otherHolders = others - 1;
  return PLACE;
}

/** The part of one lane in what the event holds. */
export function partOf(event: Event): number {
  const { otherHolders: others = 0 } = event;
  return others === 0 ? footprint(event) : footprint(event) / (others + 1) + PLACE;
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

  /** More may be kept in flight, where it cannot be parked. */
  get isHalfFree(): boolean {
    return this.held < this.limit / 2;
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
