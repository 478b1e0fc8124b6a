import { Fifo } from '../../fifo.ts';
import type { Lane } from './lane.ts';

/** Slow lanes together may hold one in this many of the turns. */
const SLOW_SHARE = 8;

/**
 * Who sends next: lanes that are due stand in one queue and go to its end after each turn, so an organization with a
 * backlog gets one turn like every other. At most `concurrency` turns are taken at once.
 *
 * Lanes whose last attempt took the whole timeout stand in a queue of their own and may take only a small part of the
 * turns, so that hanging organizations cannot take all of them.
 */
export class FairQueue {
  private readonly concurrency: number;
  private readonly slowMost: number;
  private readonly lanes = new Fifo<Lane>();
  private readonly slowLanes = new Fifo<Lane>();
  /** Lanes of both: one that was held, and goes on before its turn came, has its old place and no second one. */
  private readonly standing = new Set<Lane>();
  private taken = 0;
  private slowTaken = 0;

  constructor(concurrency: number) {
    this.concurrency = concurrency;
    this.slowMost = Math.max(1, Math.floor(concurrency / SLOW_SHARE));
  }

  get inFlight(): number {
    return this.taken;
  }

  /** Lanes that stand in a queue. */
  get waiting(): number {
    return this.lanes.length + this.slowLanes.length;
  }

  add(lane: Lane): void {
    if (this.standing.has(lane)) return;
    this.standing.add(lane);
    (lane.slow ? this.slowLanes : this.lanes).push(lane);
  }

  /** The lane whose turn it is; undefined when none is due or all turns are taken. */
  next(): Lane | undefined {
    if (this.taken >= this.concurrency) return undefined;
    const lane = (this.slowTaken < this.slowMost ? this.slowLanes.shift() : undefined) ?? this.lanes.shift();
    if (lane) this.standing.delete(lane);
    return lane;
  }

  /** A lane takes its turn. What it is counted as here is what `giveBack` is told: a lane can become slow meanwhile. */
  take(slow: boolean): void {
    this.taken += 1;
    if (slow) this.slowTaken += 1;
  }

  giveBack(slow: boolean): void {
    this.taken -= 1;
    if (slow) this.slowTaken -= 1;
  }
}
