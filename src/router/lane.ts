/**
 * A lane: the events of one organization for one sink, in order.
 *
 * Phases, and what ends them:
 *   gathering   a window is open                      -> due, when it closes or the batch is full
 *   due         stands in its sink's turn queue       -> sending, fetching, or unseen
 *   unseen      its oldest transaction is not visible -> due, when a snapshot sees more
 *   fetching    the next parked events are being read -> sending, or quiet when none is left
 *   sending     one batch is in flight                -> gathering, due, resting, quiet
 *   resting     the batch came back                   -> due, when the wait is over
 *   blocked     a dead letter waits for a person      -> due, when it is gone, or for a redrive
 *   quiet       nothing is held in memory             -> gathering (or due, with leading_edge), or forgotten
 *
 * Events that arrive meanwhile queue up behind; one batch at a time is in flight, so nothing overtakes. What comes back
 * returns to the front.
 *
 * A parked lane has its later events in Postgres: `parked` says so. What it holds in memory is then the front of the lane,
 * and whatever arrives goes to Postgres behind it. It is live again when it has read everything back.
 */
import type { Event } from '../event.ts';
import { footprint } from './memory-budget.ts';
import type { Trouble } from './trouble.ts';

export type Phase = 'gathering' | 'due' | 'unseen' | 'fetching' | 'sending' | 'resting' | 'blocked' | 'quiet';

export interface BatchLimits {
  readonly maxEvents: number;
  readonly maxBytes: number;
}

/** The part of a lane that is in Postgres. */
export interface ParkedPart {
  /** Arrived since the window opened; the next to go there. */
  incoming: Event[];
  /** On their way there. */
  inserting: number;
  /** Have gone there since the lane was parked. */
  inserted: number;
  /** So many of what is on its way, or will be, stand before what is there: nothing is read until they are there too. */
  ahead: number;
  /** Left by an earlier connection, and the server may send again what stands before it. */
  sealed: boolean;
  /** Something has gone there since the lane was parked; false while it is only held by a job. */
  rows: boolean;
  /** The last event that was read; null to read from the first. */
  after: string | null;
}

/** What holds a lane until a person has dealt with it. */
export interface Block {
  /** Dead letters that have held the lane so far, and those of them that are not stored yet. */
  letters: number;
  storing: number;
  /** The redrive whose events may pass. */
  passing: string | null;
}

export class Lane {
  readonly organizationId: string;
  phase: Phase = 'quiet';
  /** When the window of the oldest queued event closes. */
  closesAt = 0;
  /** Until when an arriving event joins a window rather than leaving at once; for leading_edge. */
  quietFrom = 0;
  trouble: Trouble | null = null;
  parked: ParkedPart | null = null;
  /** The job whose events go first; what is live waits behind it, in Postgres. */
  heldBy: string | null = null;
  /** Dead letters hold it until a person has dealt with them. */
  blocked: Block | null = null;
  /** When a resting lane is due again. */
  restsUntil = 0;
  /**
   * Its dead letters that are not durable yet. Nothing is sent meanwhile: a crash would bring them back, behind what had
   * been sent after them.
   */
  burying = 0;
  /** Delivered parked events whose rows are on their way out. */
  removing = 0;
  /** It is to be parked as soon as all it holds is visible. */
  parkWhenSeen = false;
  /** Its last attempt timed out: it may hold only a small part of the sink's concurrency. */
  slow = false;
  private queue: Event[] = [];
  private bytes = 0;

  constructor(organizationId: string) {
    this.organizationId = Buffer.from(organizationId).toString(); // a field of an event keeps its whole row alive
  }

  get length(): number {
    return this.queue.length;
  }

  get first(): Event | undefined {
    return this.queue[0];
  }

  /** What its queue holds of the heap. */
  get held(): number {
    let held = 0;
    for (const event of this.queue) held += footprint(event);
    return held;
  }

  push(event: Event): void {
    this.queue.push(event);
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
    this.queue = [];
    return queue;
  }

  /** Takes the second event past the first, if it is there and visible; for the probe that tells a poisoned event from a broken destination. */
  takeSecond(): readonly Event[] {
    const second = this.queue[1];
    if (!second?.origin.visible) return [];
    this.bytes -= second.size;
    return this.queue.splice(1, 1);
  }

  /** A redrive goes ahead of a lane that waits for a person. */
  get isPassing(): boolean {
    return this.heldBy !== null && this.heldBy === this.blocked?.passing;
  }

  /**
   * A batch is out that would come back to a place behind what is parked meanwhile: a probe, which is the second event, or
   * events of a job, whose order is that of their parking.
   */
  get keepsPlace(): boolean {
    if (this.phase !== 'sending') return false;
    return this.trouble?.probeSecond === true || typeof this.first?.origin.job === 'string';
  }

  /** What passes a lane that stands still is not parked either. */
  get mayPark(): boolean {
    return !this.keepsPlace && !this.isPassing;
  }

  get allVisible(): boolean {
    return this.queue.every((event) => event.origin.visible);
  }

  takeAll(): readonly Event[] {
    const { queue } = this;
    this.queue = [];
    this.bytes = 0;
    return queue;
  }

  /** Puts back to the front what did not settle. */
  putBack(events: readonly Event[], behind = 0): void {
    this.queue.splice(behind, 0, ...events);
    for (const event of events) this.bytes += event.size;
  }
}
