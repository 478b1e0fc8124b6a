/**
 * No event leaves before a new snapshot sees its transaction.
 *
 * The server streams a transaction when its commit record is written, which is before it is visible: for a moment
 * always, and for as long as a synchronous standby is away. A receiver that looks the row up at once would not find it.
 * So each transaction's xid is held against snapshots: one query for everything that wants to leave at that moment, none
 * while nothing does. A transaction that one snapshot saw is seen by all later ones, so old answers stay good; during a
 * backlog the newest snapshot covers nearly everything and hardly any query is made.
 *
 * An old answer only makes a newer transaction wait for the next one, as long as both are less than 2^31 transactions
 * apart: further, 32 bits no longer tell before from after. So an answer is good for a while and not for ever.
 */
import type { Clock } from '../../clock.ts';
import type { Origin } from '../../event.ts';
import { messageOf } from '../../errors.ts';

/** Whether one snapshot sees a transaction, named by the 32 bits of its xid that the stream carries. */
export type SeesXid = (xid: number) => boolean;

export interface VisibilityGateOptions {
  readonly takeSnapshot: () => Promise<SeesXid>;
  /** false: every transaction counts as visible (delivery.wait_visible). */
  readonly enabled: boolean;
  readonly clock: Clock;
  /** Some transactions became visible. */
  readonly onVisible: () => void;
  readonly onError: (message: string) => void;
}

/** Waits between queries that brought nothing new, in milliseconds; the last repeats. */
const PATIENCE = [1, 2, 5, 10, 20, 50];
/** At 100,000 transactions a second, far from 2^31. */
const GOOD_FOR_MS = 3_600_000;
/** From this many remembered transactions on, those that nobody waits for are let go. */
const SWEEP_ABOVE = 1_000;

export class VisibilityGate {
  private readonly options: VisibilityGateOptions;
  private unseen: Origin[] = [];
  private sweepAt = SWEEP_ABOVE;
  private sees: SeesXid = () => false;
  private seenAt = 0;
  private asked = false;
  private asking = false;
  private fruitless = 0;
  private closed = false;

  constructor(options: VisibilityGateOptions) {
    this.options = options;
  }

  /** Transactions that no snapshot has seen yet. */
  get waiting(): number {
    return this.unseen.length;
  }

  begin(origin: Origin): void {
    if (!this.options.enabled || origin.xid === null || this.isSeen(origin.xid, origin)) origin.visible = true;
    else this.unseen.push(origin);
    if (this.unseen.length > this.sweepAt) this.sweep();
  }

  /** Something wants to leave whose transaction is not seen: take a snapshot after this moment. */
  ask(): void {
    this.asked = true;
    if (!this.asking) void this.answer();
  }

  close(): void {
    this.closed = true;
  }

  private async answer(): Promise<void> {
    this.asking = true;
    while (this.asked && !this.closed) {
      this.asked = false;
      const progress = await this.look();
      this.fruitless = progress ? 0 : this.fruitless + 1;
      if (progress) this.options.onVisible();
      else if (!this.closed) {
        this.asked = true;
        await this.rest();
      }
    }
    this.asking = false;
  }

  private isSeen(xid: number, { receivedAt }: Origin): boolean {
    return receivedAt - this.seenAt < GOOD_FOR_MS && this.sees(xid);
  }

  private async look(): Promise<boolean> {
    const { clock, takeSnapshot } = this.options;
    const now = clock.now();
    try {
      this.sees = await takeSnapshot();
      this.seenAt = now;
      return this.mark(clock.now()) > 0 || this.unseen.length === 0;
    } catch (error) {
      if (!this.closed) this.options.onError(messageOf(error));
      return false;
    }
  }

  private mark(now: number): number {
    const before = this.unseen.length;
    this.unseen = this.unseen.filter((origin) => {
      origin.visible = origin.xid === null || this.sees(origin.xid);
      if (origin.visible) origin.visibleAt = now;
      return !origin.visible;
    });
    return before - this.unseen.length;
  }

  /** Foreign transactions, and those whose events all went elsewhere, never ask: without this they would gather for ever. */
  private sweep(): void {
    this.unseen = this.unseen.filter((origin) => !origin.isSettled);
    this.sweepAt = Math.max(SWEEP_ABOVE, this.unseen.length * 2);
  }

  private rest(): Promise<void> {
    const delay = PATIENCE[Math.min(this.fruitless, PATIENCE.length) - 1] ?? 50;
    return new Promise((resolve) => this.options.clock.schedule(delay, resolve));
  }
}
