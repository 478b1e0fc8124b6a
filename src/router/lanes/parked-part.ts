/**
 * The part of a lane that is in Postgres, or on its way there. This class alone changes its counters; the order of the
 * lane rests on them.
 *
 * Invariants, after each method:
 *   - `inserting` is the number of events that were handed to the table and are not durable yet.
 *   - `insertsBeforeRead` events still have to become durable before a read, because rows that belong behind them may be
 *     in the table already. It counts down with every insert and never falls below 0. Inserts become durable in the order
 *     in which they were handed over, so the older events are among those that are counted.
 *   - A read is allowed only when `insertsBeforeRead` is 0 and the server has nothing to send again.
 *   - `readAfter` is the place after which the next read begins. It is null after events were put in front of the rows.
 *   - The lane is live again only after a read from the first row found nothing, and nothing was or became durable
 *     during that read.
 */
import type { Event } from '../../event.ts';

/** What was under way when a read began. */
export interface ReadMark {
  readonly inserting: number;
  readonly inserted: number;
}

export class ParkedPart {
  private incoming: Event[] = [];
  private inserting = 0;
  private inserted = 0;
  private insertsBeforeRead = 0;
  private awaitsResend = false;
  private rows: boolean;
  private place: string | null = null;

  /** `hasRows`: the table has rows of the lane, or will have; false while a job only leads the lane. */
  constructor(hasRows: boolean) {
    this.rows = hasRows;
  }

  get hasRows(): boolean {
    return this.rows;
  }

  /** Left by an earlier connection; the server may send again what stands before it. */
  get awaitingResend(): boolean {
    return this.awaitsResend;
  }

  /** Where the next read begins; null is the first row. */
  get readAfter(): string | null {
    return this.place;
  }

  /** Whether it can be read. A read from the first row must not find rows that are being removed. */
  canRead(rowsBeingRemoved: number): boolean {
    if (this.awaitsResend || this.insertsBeforeRead > 0) return false;
    return this.place !== null || rowsBeingRemoved === 0;
  }

  /** An event arrives behind the rows; returns how many wait for the end of their window. */
  addIncoming(event: Event): number {
    return this.incoming.push(event);
  }

  /** Takes what has arrived, up to the first event that is not visible; `left`: there is such an event. */
  takeVisible(): { readonly events: readonly Event[]; readonly left: boolean } {
    const { incoming } = this;
    const hidden = incoming.findIndex((event) => !event.origin.visible);
    this.incoming = hidden < 0 ? [] : incoming.slice(hidden);
    return { events: hidden < 0 ? incoming : incoming.slice(0, hidden), left: hidden >= 0 };
  }

  /** Takes all that has arrived; the lane is live and keeps it in memory. */
  takeIncoming(): readonly Event[] {
    const { incoming } = this;
    this.incoming = [];
    return incoming;
  }

  /** The table has rows of the lane. */
  restored(awaitingResend: boolean): void {
    this.rows = true;
    if (awaitingResend) this.awaitsResend = true;
  }

  /** The server has sent everything again: what has arrived until now stands before the rows. */
  resent(): void {
    this.awaitsResend = false;
    this.insertsBeforeRead = this.inserting + this.incoming.length;
  }

  /** `count` events from the front of the lane go to the table, before what is there; 0 when all of them have rows. */
  insertInFront(count: number): void {
    this.rows = true;
    this.place = null;
    if (count === 0) return;
    const sum = this.insertsBeforeRead + count; // an event that is not visible yet is counted, and is not inserting
    this.inserting += count;
    this.insertsBeforeRead = Math.max(sum, this.inserting);
  }

  /** `count` events go to the table behind what is there. */
  insertBehind(count: number): void {
    this.rows = true;
    this.inserting += count;
  }

  /** `count` of the events on their way are durable. */
  durable(count: number): void {
    if (count > this.inserting) throw new Error('more parked events became durable than were inserted');
    this.inserting -= count;
    this.inserted += count;
    this.insertsBeforeRead = Math.max(0, this.insertsBeforeRead - count);
  }

  beginRead(): ReadMark {
    return { inserting: this.inserting, inserted: this.inserted };
  }

  /** A page was read; true when nothing is left in the table, and nothing is on its way there. */
  endRead(mark: ReadMark, page: { readonly count: number; readonly last: string | null }): boolean {
    if (page.count > 0) {
      this.place = page.last;
      return false;
    }
    if (this.place !== null) {
      this.place = null; // what was stored meanwhile may stand before the place of the read
      return false;
    }
    return mark.inserting === 0 && this.inserting === 0 && this.inserted === mark.inserted;
  }
}
