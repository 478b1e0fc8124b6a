/**
 * A lane: the events of one organization for one sink, in order.
 *
 * Phases, and what ends them:
 *   gathering   a window is open                      -> due, when it closes or the batch is full
 *   due         stands in its sink's turn queue       -> sending, or unseen
 *   unseen      its oldest transaction is not visible -> due, when a snapshot sees more
 *   sending     one batch is in flight                -> gathering, due, resting, quiet
 *   resting     the batch came back                   -> due, when the wait is over
 *   quiet       nothing is held                       -> gathering (or due, with leading_edge), or forgotten
 *
 * Events that arrive meanwhile queue up behind; one batch at a time is in flight, so nothing overtakes. What comes back
 * returns to the front.
 */
import type { Event } from '../event.ts';
import type { Trouble } from './trouble.ts';

export type Phase = 'gathering' | 'due' | 'unseen' | 'sending' | 'resting' | 'quiet';

export interface BatchLimits {
  readonly maxEvents: number;
  readonly maxBytes: number;
}

export class Lane {
  readonly organizationId: string;
  phase: Phase = 'quiet';
  /** When the window of the oldest queued event closes. */
  closesAt = 0;
  /** Until when an arriving event joins a window rather than leaving at once; for leading_edge. */
  quietFrom = 0;
  trouble: Trouble | null = null;
  private queue: Event[] = [];
  private bytes = 0;

  constructor(organizationId: string) {
    this.organizationId = organizationId;
  }

  get length(): number {
    return this.queue.length;
  }

  push(event: Event): void {
    this.queue.push(event);
    this.bytes += event.size;
  }

  isFull(limits: BatchLimits): boolean {
    return this.queue.length >= limits.maxEvents || this.bytes >= limits.maxBytes;
  }

  /** Takes the next batch from the front: whole transactions or parts of them, all visible; empty when the first is not. */
  take(limits: BatchLimits): readonly Event[] {
    const { queue } = this;
    const most = Math.min(queue.length, limits.maxEvents);
    let bytes = 0;
    let count = 0;
    while (count < most) {
      const event = queue[count] as Event;
      if (!event.origin.visible || (count > 0 && bytes + event.size > limits.maxBytes)) break;
      bytes += event.size;
      count += 1;
    }
    this.bytes -= bytes;
    if (count < queue.length) return queue.splice(0, count);
    this.queue = [];
    return queue;
  }

  /** Takes the second event past the first; for the probe that tells a poisoned event from a broken destination. */
  takeSecond(): readonly Event[] {
    const second = this.queue[1];
    if (!second?.origin.visible) return [];
    this.bytes -= second.size;
    return this.queue.splice(1, 1);
  }

  /** Puts back to the front what did not settle. */
  putBack(events: readonly Event[], behind = 0): void {
    this.queue.splice(behind, 0, ...events);
    for (const event of events) this.bytes += event.size;
  }

  peek(): Event | undefined {
    return this.queue[0];
  }
}
