/**
 * Parking: how a lane moves to Postgres and back, so that a sick sink never holds the slot.
 *
 * A parked lane keeps its order: what it holds in memory is the front, then come the rows in Postgres, then what has
 * arrived since the window opened (`incoming`), which goes to Postgres when the window closes. It reads one batch at a
 * time, only when it may send, so a thousand parked lanes hold no more memory than those in flight. When a read finds
 * nothing and nothing is on its way there, `incoming` becomes the queue and the lane is live again.
 *
 * Rows can be there before those that stand before them: a batch that comes back goes to Postgres after what had waited
 * behind it, and a crash may leave only the later rows, while the server will send the earlier events again. So nothing is
 * read while an older event of the lane is on its way (`ahead`), or may still come (`sealed`).
 *
 * Nothing is parked before it is visible: the row could be read back and sent before readers can see the event.
 *
 * Events of a job are parked like live ones, and the lane is not the job's any more: a sink that is away must not keep the
 * job waiting, and with it the lanes of all other sinks that the job leads, or a healing, which the stream waits for.
 */
import type { Event } from '../event.ts';
import type { ParkedPage, ParkingLot } from '../pipeline.ts';
import type { BatchLimits, Lane, ParkedPart } from './lane.ts';
import { footprint } from './memory-budget.ts';

export interface LaneParkingOptions {
  readonly sink: string;
  readonly lot: ParkingLot;
  readonly limits: BatchLimits;
  /** These are durable. */
  readonly onParked: (events: readonly Event[]) => void;
  /** These leave memory, and stay where they are stored. */
  readonly onDropped: (events: readonly Event[]) => void;
  /** The lane waits for a snapshot that sees more. */
  readonly waitVisible: (lane: Lane) => void;
  /** Rows of the lane are gone. */
  readonly onRemoved: (lane: Lane) => void;
}

/** So many rows may wait to be removed: a table that is slower than the sink must not fill the memory. */
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
      lane.parkWhenSeen = true;
      this.options.waitVisible(lane);
      return;
    }
    lane.parkWhenSeen = false;
    if (lane.length === 0) return;
    if (!lane.isPassing) lane.heldBy = null; // what the job still sends goes behind, like everything that arrives
    const events = lane.takeAll();
    const stored = events.filter((event) => event.parkedId !== null);
    const fresh = events.filter((event) => event.parkedId === null);
    lane.parked ??= emptyPart(true);
    lane.parked.after = null;
    lane.parked.rows = true;
    const waitedFor = lane.parked.ahead + fresh.length; // what is not visible yet may be ahead, and is not inserting
    if (stored.length > 0) this.options.onDropped(stored);
    this.insert(lane, fresh);
    if (fresh.length > 0) lane.parked.ahead = Math.max(waitedFor, lane.parked.inserting);
  }

  /** The window is over: what has arrived goes to Postgres, as far as it is visible. */
  flush(lane: Lane): void {
    const part = lane.parked;
    if (!part || part.incoming.length === 0) return;
    const hidden = part.incoming.findIndex((event) => !event.origin.visible);
    const ready = hidden < 0 ? part.incoming : part.incoming.slice(0, hidden);
    part.incoming = hidden < 0 ? [] : part.incoming.slice(hidden);
    if (hidden >= 0) this.options.waitVisible(lane);
    this.insert(lane, ready);
  }

  /** Rows of this lane were left by an earlier connection; sealed: until `unseal` they may not be read. */
  restore(lane: Lane, sealed = false): void {
    lane.parked ??= emptyPart(true);
    lane.parked.rows = true;
    if (sealed) lane.parked.sealed = true;
  }

  /** What the server had to send again has arrived. */
  unseal(lane: Lane): void {
    const part = lane.parked;
    if (!part?.sealed) return;
    part.sealed = false;
    part.ahead = part.inserting + part.incoming.length;
    this.flush(lane);
  }

  /** An event of a job leads the lane: what is live goes behind it until the job is over. */
  hold(lane: Lane, job: string): void {
    lane.heldBy = job;
    lane.parked = emptyPart(false);
  }

  release(lane: Lane): void {
    lane.heldBy = null;
    if (lane.parked && !lane.parked.rows) this.unpark(lane);
  }

  /** Whether the lane can be read now: reading from the first again must not find rows that are on their way out. */
  canRead(lane: Lane): boolean {
    const part = lane.parked;
    if (!part || part.sealed || part.ahead > 0) return false;
    return part.after !== null || lane.removing === 0;
  }

  /** So many delivered rows wait to be removed that no more are to be read. */
  get isBehind(): boolean {
    return this.removing >= MOST_REMOVING;
  }

  /** Reads the next batch, at most that many events. The lane goes live when there is none, and none on its way. */
  async read(lane: Lane, most: number): Promise<readonly Event[]> {
    const { sink, lot } = this.options;
    const limits = { ...this.options.limits, maxEvents: Math.min(most, this.options.limits.maxEvents) };
    const part = lane.parked;
    if (!part) return [];
    const { inserted, inserting } = part;
    const page: ParkedPage = await lot.read({ sink, organizationId: lane.organizationId }, part.after, limits);
    if (page.events.length > 0) part.after = page.last;
    else if (part.after !== null)
      part.after = null; // what was stored meanwhile may stand before the place of the read
    else if (inserting === 0 && part.inserted === inserted && part.inserting === 0) this.unpark(lane);
    return page.events;
  }

  /** The parked events were delivered, or are dead letters. */
  remove(lane: Lane, events: readonly Event[]): void {
    const { length } = events; // the events themselves are let go of now
    this.removing += length;
    lane.removing += length;
    this.options.lot.remove(events, () => {
      this.removing -= length;
      lane.removing -= length;
      this.options.onRemoved(lane);
    });
  }

  private unpark(lane: Lane): void {
    const incoming = lane.parked?.incoming ?? [];
    lane.parked = null;
    for (const event of incoming) lane.push(event);
  }

  private insert(lane: Lane, events: readonly Event[]): void {
    const part = lane.parked;
    if (!part || events.length === 0) return;
    part.rows = true;
    part.inserting += events.length;
    this.options.lot.park(this.options.sink, events, () => {
      part.inserting -= events.length;
      part.inserted += events.length;
      part.ahead = Math.max(0, part.ahead - events.length);
      this.options.onParked(events);
    });
  }
}

function emptyPart(rows: boolean): ParkedPart {
  return { incoming: [], inserting: 0, inserted: 0, ahead: 0, sealed: false, rows, after: null };
}

/** Lanes that hold more than their share, the heaviest first. */
export function heaviest(lanes: Iterable<Lane>, share: number): Lane[] {
  const heavy: { lane: Lane; held: number }[] = [];
  for (const lane of lanes) {
    const held = lane.held;
    if (held > share) heavy.push({ lane, held });
  }
  return heavy.sort((a, b) => b.held - a.held).map(({ lane }) => lane);
}

export function heldBy(events: readonly Event[]): number {
  let held = 0;
  for (const event of events) held += footprint(event);
  return held;
}
