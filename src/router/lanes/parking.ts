/**
 * Parking: how a lane moves to Postgres and back, so that a sick sink never holds the slot.
 *
 * A parked lane keeps its order: what it holds in memory is the front, then come the rows in Postgres, then what has
 * arrived since the window opened (`incoming`), which goes to Postgres when the window closes. It reads one batch at a
 * time, only when it may send, so a thousand parked lanes hold no more memory than those in flight. When a read finds
 * nothing and nothing is on its way there, `incoming` becomes the queue and the lane is live again.
 *
 * Later events of a lane can be stored before earlier ones. A batch that was not accepted is stored after the events that
 * waited behind it. A crash may leave only the later rows, while the server will send the earlier events again. So nothing is
 * read while an older event of the lane is on its way (`insertsBeforeRead`), or may still come (`awaitingResend`).
 *
 * Nothing is parked before it is visible: the row could be read back and sent before readers can see the event.
 *
 * Events of a job are parked like live ones, and the job no longer leads the lane. Otherwise an unavailable sink would block
 * the job, the lanes of other sinks that the job leads, and a healing, which the stream waits for.
 */
import type { Event } from '../../event.ts';
import type { ParkingLot } from '../../pipeline.ts';
import type { Lane } from './lane.ts';
import type { BatchLimits } from './lane-queue.ts';
import { nameOfLane } from './lane-name.ts';
import type { LaneScheduler } from './lane-scheduler.ts';
import type { ParkedPart } from './parked-part.ts';
import type { SinkAccounts } from './sink-accounts.ts';

export interface LaneParkingOptions {
  readonly sink: string;
  readonly lot: ParkingLot;
  readonly limits: BatchLimits;
  readonly accounts: SinkAccounts;
  readonly scheduler: LaneScheduler;
}

/** Maximum of rows that wait to be removed: a table that is slower than the sink must not fill the memory. */
const MOST_REMOVING = 5_000;

export class LaneParking {
  private readonly options: LaneParkingOptions;
  /** Rows of all lanes that are on their way out. */
  private removing = 0;

  constructor(options: LaneParkingOptions) {
    this.options = options;
  }

  /** Moves what the lane holds in memory to Postgres, and what arrives later behind it. */
  park(lane: Lane): void {
    if (!lane.allVisible) {
      lane.parkWhenVisible(true);
      this.options.scheduler.awaitVisible(lane);
      return;
    }
    lane.parkWhenVisible(false);
    if (lane.length === 0) return;
    if (!lane.isPassing) lane.endLead(); // what the job still sends goes behind, like everything that arrives
    const events = lane.takeAll();
    const stored = events.filter((event) => event.parkedId !== null);
    const fresh = events.filter((event) => event.parkedId === null);
    const part = lane.openPart(true);
    part.insertInFront(fresh.length);
    if (stored.length > 0) this.options.accounts.released(stored);
    this.store(lane, part, fresh);
  }

  /** The window is over: what has arrived goes to Postgres, as far as it is visible. */
  flush(lane: Lane): void {
    const part = lane.parked;
    if (!part) return;
    const { events, left } = part.takeVisible();
    if (left) this.options.scheduler.awaitVisible(lane);
    if (events.length === 0) return;
    part.insertBehind(events.length);
    this.store(lane, part, events);
  }

  /** Rows of this lane were left by an earlier connection; awaitingResend: until `resent` they may not be read. */
  restore(lane: Lane, awaitingResend = false): void {
    lane.openPart(true).restored(awaitingResend);
  }

  /** What the server had to send again has arrived. */
  resent(lane: Lane): void {
    if (lane.parked?.awaitingResend !== true) return;
    lane.parked.resent();
    this.flush(lane);
  }

  /** An event of a job leads the lane: what is live goes behind it until the job is over. */
  leadBy(lane: Lane, job: string): void {
    lane.leadBy(job);
    lane.openPart(false);
  }

  endLead(lane: Lane): void {
    lane.endLead();
    if (lane.parked?.hasRows === false) lane.closePart();
  }

  /** Whether the lane can be read now. */
  canRead(lane: Lane): boolean {
    return lane.parked?.canRead(lane.removing) === true;
  }

  /** Too many delivered rows wait to be removed: no more are read. */
  get isBehind(): boolean {
    return this.removing >= MOST_REMOVING;
  }

  /** Reads the next batch, at most that many events. The lane goes live when there is none, and none on its way. */
  async read(lane: Lane, most: number): Promise<readonly Event[]> {
    const { sink, lot } = this.options;
    const limits = { ...this.options.limits, maxEvents: Math.min(most, this.options.limits.maxEvents) };
    const part = lane.parked;
    if (!part) return [];
    const mark = part.beginRead();
    const { events, last } = await lot.read(nameOfLane(sink, lane), part.readAfter, limits);
    if (part.endRead(mark, { count: events.length, last })) lane.closePart();
    return events;
  }

  /**
   * Reads one event without moving the lane's place: the one after the place `after`, or, with `otherTypes`, the first event among the
   * next `most` that has none of these types.
   */
  async readOne(lane: Lane, given: { after: string | null; most: number; otherTypes?: readonly string[] }) {
    const { sink, lot } = this.options;
    const { after, most, otherTypes } = given;
    const limits = { maxEvents: most, maxBytes: 1, ...(otherTypes ? { otherTypes } : {}) };
    return lot.read(nameOfLane(sink, lane), after, limits);
  }

  /** The parked events leave memory; their rows stay. */
  letGo(events: readonly Event[]): void {
    this.options.accounts.released(events);
  }

  /** The parked events were delivered, or are dead letters. */
  remove(lane: Lane, events: readonly Event[]): void {
    const { length } = events; // the events themselves are let go of now
    this.removing += length;
    lane.startRemoving(length);
    this.options.lot.remove(events, () => {
      this.removing -= length;
      lane.removed(length);
      this.options.scheduler.release(lane);
    });
  }

  /** A parked event goes on in another lane: its row there is durable before the one here goes. */
  move(event: Event, { from, to }: { readonly from: Lane; readonly to: Lane }): void {
    const { sink, lot, accounts } = this.options;
    const part = to.openPart(true);
    part.insertBehind(1);
    from.startRemoving(1); // else it would be read again
    lot.park(nameOfLane(sink, to), [event], () => {
      part.durable(1);
      accounts.released([event]);
      from.removed(1);
      this.remove(from, [event]);
    });
  }

  private store(lane: Lane, part: ParkedPart, events: readonly Event[]): void {
    if (events.length === 0) return;
    this.options.lot.park(nameOfLane(this.options.sink, lane), events, () => {
      part.durable(events.length);
      this.options.accounts.parked(events);
    });
  }
}
