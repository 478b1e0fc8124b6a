/** What a lane holds in memory: its events in order, and their bytes. */
import type { Event } from '../../event.ts';
import { partOf } from '../memory-budget.ts';

export interface BatchLimits {
  readonly maxEvents: number;
  readonly maxBytes: number;
}

/**
 * Shared by all empty queues, and never changed: most lanes hold one short batch, and an array that grows from nothing has
 * room for 17 events at once.
 */
const NONE: Event[] = [];

export class LaneQueue {
  private queue: Event[] = NONE;
  private bytes = 0;

  get length(): number {
    return this.queue.length;
  }

  get first(): Event | undefined {
    return this.queue[0];
  }

  /** Its part of what its events hold of the heap. */
  get held(): number {
    let held = 0;
    for (const event of this.queue) held += partOf(event);
    return held;
  }

  get allVisible(): boolean {
    return this.queue.every((event) => event.origin.visible);
  }

  push(event: Event): void {
    if (this.queue.length === 0) this.queue = [event];
    else this.queue.push(event);
    this.bytes += event.size;
  }

  isFull(limits: BatchLimits): boolean {
    return this.queue.length >= limits.maxEvents || this.bytes >= limits.maxBytes;
  }

  /** Takes the next batch from the front: all visible, all of one job or all live; empty when the first is not visible. */
  take(limits: BatchLimits): readonly Event[] {
    const { queue } = this;
    const most = Math.min(queue.length, limits.maxEvents);
    const job = queue[0]?.origin.job;
    let bytes = 0;
    let count = 0;
    while (count < most) {
      const { origin, size } = queue[count] as Event;
      if (!origin.visible || origin.job !== job || (count > 0 && bytes + size > limits.maxBytes)) break;
      bytes += size;
      count += 1;
    }
    this.bytes -= bytes;
    if (count < queue.length) return queue.splice(0, count);
    this.queue = NONE;
    return queue;
  }

  takeAll(): readonly Event[] {
    const { queue } = this;
    this.queue = NONE;
    this.bytes = 0;
    return queue;
  }

  /** Puts back to the front what did not settle. */
  putBack(events: readonly Event[], behind = 0): void {
    if (this.queue.length === 0) this.queue = [...events];
    else this.queue.splice(behind, 0, ...events);
    for (const event of events) this.bytes += event.size;
  }
}
