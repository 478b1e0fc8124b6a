import type { Clock } from '../../clock.ts';
import type { Lane } from './lane.ts';
import { TurnQueue } from './turn-queue.ts';

/** A turn that a lane has taken. What it is counted as stays: the lane can become slow meanwhile. */
export interface Turn {
  readonly lane: Lane;
  readonly slow: boolean;
}

/** Turns that last long are counted apart, where each lane has a destination of its own. */
export interface Lending {
  readonly clock: Pick<Clock, 'now'>;
  /** Milliseconds. */
  readonly after: number;
  /** Most turns that are counted apart. */
  readonly most: number;
  /** False while more attempts at once would do harm. */
  isAllowed(): boolean;
}

/** Slow lanes together may hold one in this many of the turns, and one in this many is left for organizations without one. */
const SHARE = 8;

/**
 * Who sends next: organizations with lanes that are due stand in one queue and go to its end after each turn, so one with a
 * backlog gets one turn like every other. At most `concurrency` turns are taken at once.
 *
 * Lanes whose last attempt took the whole timeout stand in a queue of their own and may take only a small part of the
 * turns, so that hanging organizations cannot take all of them.
 *
 * The first attempt of a lane that hangs is not known to be slow. Where each lane has a destination of its own, hundreds can
 * begin to hang at once, and their turns would last for the whole timeout. There a turn that lasts longer than `after` is
 * lent: while lanes wait it no longer counts against `concurrency`, up to a bound of its own, and while memory allows.
 */
export class FairQueue {
  private readonly concurrency: number;
  private readonly slowMost: number;
  private readonly lanes: TurnQueue;
  private readonly slowLanes: TurnQueue;
  private readonly lending: Lending | undefined;
  /** Turns that can be lent, and from when on, the oldest first. */
  private readonly lendable = new Map<Turn, number>();
  private readonly lent = new Set<Turn>();
  private taken = 0;
  private slowTaken = 0;

  constructor(concurrency: number, lending?: Lending) {
    this.concurrency = concurrency;
    this.lending = lending;
    this.slowMost = Math.max(1, Math.floor(concurrency / SHARE));
    this.lanes = new TurnQueue(Math.min(this.slowMost, concurrency - 1));
    this.slowLanes = new TurnQueue(1);
  }

  get inFlight(): number {
    return this.taken + this.lent.size;
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
    let lane = this.choose();
    while (!lane && this.lend()) lane = this.choose();
    lane?.setPlace(false);
    return lane;
  }

  /** When the next turn can be lent to a lane that waits; undefined when none can. */
  get lendsAt(): number | undefined {
    if (!this.lending || this.lanes.length === 0 || this.lent.size >= this.lending.most) return undefined;
    const [first] = this.lendable.values();
    return first;
  }

  /** @param sends the turn is for an attempt, which may be lent, and not for a read */
  take(lane: Lane, { sends }: { readonly sends: boolean }): Turn {
    const { slow } = lane;
    const turn = { lane, slow };
    this.taken += 1;
    if (slow) this.slowTaken += 1;
    else if (this.lending && sends) this.lendable.set(turn, this.lending.clock.now() + this.lending.after);
    (slow ? this.slowLanes : this.lanes).take(lane);
    return turn;
  }

  giveBack(turn: Turn): void {
    const { lane, slow } = turn;
    if (!this.lent.delete(turn)) this.taken -= 1;
    this.lendable.delete(turn);
    if (slow) this.slowTaken -= 1;
    (slow ? this.slowLanes : this.lanes).giveBack(lane);
  }

  private choose(): Lane | undefined {
    if (this.taken >= this.concurrency) return undefined;
    const slow = this.slowTaken < this.slowMost ? this.slowLanes.next(this.slowMost - this.slowTaken) : undefined;
    return slow ?? this.lanes.next(this.concurrency - this.taken);
  }

  /** True when lanes wait, and one more turn was lent to them. */
  private lend(): boolean {
    const at = this.lendsAt;
    if (!this.lending || at === undefined || at > this.lending.clock.now() || !this.lending.isAllowed()) return false;
    const [turn] = this.lendable.keys();
    if (!turn) return false;
    this.lendable.delete(turn);
    this.lent.add(turn);
    this.taken -= 1;
    this.lanes.lookAgain();
    return true;
  }
}
