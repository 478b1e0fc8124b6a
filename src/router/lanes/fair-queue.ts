import type { Lane } from './lane.ts';
import { TurnQueue } from './turn-queue.ts';

/** A turn that a lane has taken. What it is counted as stays: the lane can become slow meanwhile. */
export interface Turn {
  readonly lane: Lane;
  readonly slow: boolean;
}

/** Slow lanes together may hold one in this many of the turns, and one in this many is left for organizations without one. */
const SHARE = 8;

/**
 * Who sends next: organizations with lanes that are due stand in one queue and go to its end after each turn, so one with a
 * backlog gets one turn like every other. At most `concurrency` turns are taken at once.
 *
 * Lanes whose last attempt took the whole timeout stand in a queue of their own and may take only a small part of the
 * turns, so that hanging organizations cannot take all of them.
 */
export class FairQueue {
  private readonly concurrency: number;
  private readonly slowMost: number;
  private readonly lanes: TurnQueue;
  private readonly slowLanes: TurnQueue;
  private taken = 0;
  private slowTaken = 0;

  constructor(concurrency: number) {
    this.concurrency = concurrency;
    this.slowMost = Math.max(1, Math.floor(concurrency / SHARE));
    this.lanes = new TurnQueue(this.slowMost);
    this.slowLanes = new TurnQueue(1);
  }

  get inFlight(): number {
    return this.taken;
  }

  /** Lanes that stand in a queue. */
  get waiting(): number {
    return this.lanes.length + this.slowLanes.length;
  }

  /** A lane that was held, and goes on before its turn came, has its old place and no second one. */
  add(lane: Lane): void {
    if (lane.hasPlace) return;
    lane.setPlace(true);
    (lane.slow ? this.slowLanes : this.lanes).add(lane);
  }

  /** The lane whose turn it is; undefined when none is due or all turns are taken. */
  next(): Lane | undefined {
    if (this.taken >= this.concurrency) return undefined;
    const slow = this.slowTaken < this.slowMost ? this.slowLanes.next(this.slowMost - this.slowTaken) : undefined;
    const lane = slow ?? this.lanes.next(this.concurrency - this.taken);
    lane?.setPlace(false);
    return lane;
  }

  take(lane: Lane): Turn {
    const { slow } = lane;
    this.taken += 1;
    if (slow) this.slowTaken += 1;
    (slow ? this.slowLanes : this.lanes).take(lane);
    return { lane, slow };
  }

  giveBack({ lane, slow }: Turn): void {
    this.taken -= 1;
    if (slow) this.slowTaken -= 1;
    (slow ? this.slowLanes : this.lanes).giveBack(lane);
  }
}
