/**
 * No event leaves before a new snapshot sees its transaction.
 *
 * The server streams a transaction when its commit record is written, which is before it is visible: for a moment
 * always, and for as long as a synchronous standby is away. A receiver that looks the row up at once would not find it.
 * So each transaction's xid is held against snapshots: one query for everything that wants to leave at that moment, none
 * while nothing does. A transaction that one snapshot saw is seen by all later ones, so old answers stay good; during a
 * backlog the newest snapshot covers nearly everything and hardly any query is made.
 *
 * Where a sink sends at once and the stream is quiet, the Begin of a transaction asks already: most likely its first event would
 * ask next, and so the query is under way while the walsender still writes the rest of the transaction.
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
  /** Some sink sends the first event of a quiet lane at once. */
  readonly asksEarly: boolean;
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
  private latest: Origin | undefined;
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
    else {
      this.unseen.push(origin);
      this.askEarly();
    }
    this.latest = origin;
    if (this.unseen.length > this.sweepAt) this.sweep();
  }

  /** Something wants to leave whose transaction is not seen. What the look under way does not see has to be asked for again. */
  ask(): void {
    this.asked = true;
    if (!this.asking && !this.closed) void this.answer();
  }

  close(): void {
    this.closed = true;
  }

  /**
   * A guess, which costs a query. It is good while each transaction is settled before the next one comes; not under load, where
   * queries would follow each other, nor while a destination is away. Behind a transaction of other tables, which Postgres 14
   * and wal2json send too, there is likely to be another.
   */
  private askEarly(): void {
    const { latest } = this;
    const isQuiet = latest === undefined || (latest.isSettled && latest.carried !== false);
    if (this.options.asksEarly && isQuiet && !this.asking) void this.answer();
  }

  private async answer(): Promise<void> {
    this.asking = true;
    do {
      const wasAsked = this.asked;
      const found = await this.look();
      if (this.closed) break;
      if (found === 'progress') {
        this.fruitless = 0;
        this.asked = false; // whoever still waits asks again
        this.options.onVisible();
      } else if (wasAsked || found === 'failure') {
        this.fruitless += 1;
        await this.rest();
      }
    } while (this.asked && !this.closed);
    this.asking = false;
  }

  private isSeen(xid: number, { receivedAt }: Origin): boolean {
    return receivedAt - this.seenAt < GOOD_FOR_MS && this.sees(xid);
  }

  private async look(): Promise<'progress' | 'nothing' | 'failure'> {
    const { clock, takeSnapshot } = this.options;
    const now = clock.now();
    try {
      this.sees = await takeSnapshot();
      this.seenAt = now;
      return this.mark(clock.now()) > 0 || this.unseen.length === 0 ? 'progress' : 'nothing';
    } catch (error) {
      if (this.asked && !this.closed) this.options.onError(messageOf(error));
      return 'failure';
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
