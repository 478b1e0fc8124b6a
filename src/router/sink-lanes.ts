/** All lanes of one sink: who gathers, who sends, who waits. */
import type { Event } from '../event.ts';
import type { Batch, Destination, ParkingLot, Verdict, Verdicts } from '../pipeline.ts';
import type { Alarms } from './alarms.ts';
import { Lane, type BatchLimits, type Phase } from './lane.ts';
import { LaneParking } from './lane-parking.ts';
import { LaneReturns } from './lane-returns.ts';
import type { RetryPolicy } from './trouble.ts';
import { Turns } from './turns.ts';
import type { Windows } from './windows.ts';

/** A lane with its sink, as windows and alarms hold it. */
export interface LaneTurn {
  readonly sink: SinkLanes;
  readonly lane: Lane;
}

export interface SinkLanesOptions {
  readonly destination: Destination;
  readonly lot: ParkingLot;
  readonly limits: BatchLimits;
  /** Milliseconds. */
  readonly window: number;
  readonly leadingEdge: boolean;
  readonly policy: RetryPolicy;
  readonly signal: AbortSignal;
  readonly now: () => number;
  readonly random: () => number;
  readonly windows: Windows<LaneTurn>;
  readonly alarms: Alarms<LaneTurn>;
  /** A lane wants to send, or to park, what no snapshot has seen yet. */
  readonly askVisible: () => void;
  /** Milliseconds from the opening of a window to the departure of its batch. */
  readonly onWindow: (waited: number) => void;
  /** Delivered, and parked: both settle. */
  readonly onDelivered: (sink: string, events: readonly Event[]) => void;
  readonly onParked: (sink: string, events: readonly Event[]) => void;
  /** Read from Postgres, and left to it again. */
  readonly onRead: (events: readonly Event[]) => void;
  readonly onDropped: (events: readonly Event[]) => void;
  /** Calls back once the event is a durable dead letter. */
  readonly onRejected: (
    event: Event,
    given: { sink: string; verdict: Verdict; attempts: number },
    stored: () => void,
  ) => void;
  /** A batch came back, or nothing is left to do. */
  readonly onIdle: () => void;
}

/** After a read that found nothing while something was on its way. */
const READ_AGAIN_MS = 20;

export class SinkLanes {
  readonly name: string;
  private readonly options: SinkLanesOptions;
  private readonly lanes = new Map<string, Lane>();
  private readonly turns: Turns;
  private unseen = new Set<Lane>();
  private readonly parking: LaneParking;
  private readonly returns: LaneReturns;
  private draining = false;

  constructor(options: SinkLanesOptions) {
    const { destination, lot, limits, onDropped } = options;
    this.options = options;
    this.name = destination.name;
    this.turns = new Turns(destination.concurrency);
    this.parking = new LaneParking({
      sink: this.name,
      lot,
      limits,
      onParked: (events) => options.onParked(this.name, events),
      onDropped,
      waitVisible: (lane) => this.waitVisible(lane),
      onRemoved: (lane) => lane.phase === 'quiet' && this.forget(lane),
    });
    this.returns = new LaneReturns({
      ...options,
      sink: this.name,
      parking: this.parking,
      go: (lane) => this.next(lane),
      again: (lane) => this.enqueue(lane),
      rest: (lane, delay) => this.rest(lane, delay),
    });
  }

  accept(event: Event): void {
    const lane = this.laneOf(event.organizationId);
    const { job } = event.origin;
    if (job !== null && lane.parked === null) this.parking.hold(lane, job);
    if (lane.parked && (lane.heldBy === null || lane.heldBy !== job)) return this.acceptBehind(lane, event);
    lane.push(event);
    if (lane.length === 1) this.openWindow(lane);
    if (lane.phase === 'gathering' && lane.isFull(this.options.limits)) this.due(lane);
  }

  /** The window of the lane is over. */
  windowClosed(lane: Lane): void {
    if (lane.parked) this.parking.flush(lane);
    if (lane.phase === 'gathering' && lane.closesAt <= this.options.now()) this.enqueue(lane);
    else if (lane.phase === 'quiet') this.forget(lane);
  }

  /** The wait of a resting lane is over. */
  rested(lane: Lane): void {
    if (lane.phase === 'resting') this.due(lane);
  }

  /** A snapshot saw more transactions. */
  seen(): void {
    const lanes = this.unseen;
    this.unseen = new Set();
    for (const lane of lanes) {
      if (lane.parkWhenSeen) this.parking.park(lane);
      this.parking.flush(lane);
      if (lane.phase === 'unseen') this.enqueue(lane);
    }
    this.dispatch();
  }

  /** An earlier connection left rows of this organization in Postgres. */
  restore(organizationId: string): void {
    const lane = this.laneOf(organizationId);
    this.parking.restore(lane);
    if (lane.phase === 'quiet') this.enqueue(lane);
  }

  /** Parks every lane whose oldest event has waited for `parkAfter` milliseconds; transactions have one arrival. */
  parkOverdue(parkAfter: number): void {
    const latest = this.options.now() - parkAfter;
    for (const lane of this.lanes.values()) {
      const first = lane.first;
      if (!first || first.parkedId !== null || first.origin.receivedAt > latest) continue;
      if (lane.phase !== 'gathering' && lane.heldBy === null) this.parking.park(lane);
    }
    this.dispatch();
  }

  /** Parks the lane because it holds too much; it is read back as soon as it has its turn. */
  parkLoad(lane: Lane): void {
    this.parking.park(lane);
  }

  /** What its lanes hold of the heap. */
  get held(): number {
    let held = 0;
    for (const lane of this.lanes.values()) held += lane.held;
    return held;
  }

  get lanesHeld(): number {
    return this.lanes.size;
  }

  all(): Iterable<Lane> {
    return this.lanes.values();
  }

  /** Every window counts as closed from now on. */
  drain(): void {
    this.draining = true;
    for (const lane of this.lanes.values()) {
      this.parking.flush(lane);
      if (lane.phase === 'gathering') this.enqueue(lane);
    }
    this.dispatch();
  }

  /** Nothing is left in memory that could be sent without waiting for a destination to recover. */
  get drained(): boolean {
    return this.inFlight === 0 && this.turns.waiting === 0 && this.unseen.size === 0;
  }

  countLanes(counts: Record<Phase | 'parked', number>): void {
    for (const lane of this.lanes.values()) counts[lane.parked ? 'parked' : lane.phase] += 1;
  }

  get inFlight(): number {
    return this.turns.inFlight;
  }

  /** Sends while the sink takes batches. */
  dispatch(): void {
    for (let lane = this.turns.next(); lane; lane = this.turns.next()) this.sendFrom(lane);
  }

  /** The job has no more events: what waited behind it goes on. */
  endJob(job: string): void {
    for (const lane of this.lanes.values()) {
      if (lane.heldBy !== job) continue;
      this.parking.release(lane);
      if (lane.phase === 'quiet') this.next(lane);
    }
    this.dispatch();
  }

  /** The front of the lane is in Postgres, or belongs to a job. */
  private acceptBehind(lane: Lane, event: Event): void {
    const incoming = lane.parked?.incoming ?? [];
    incoming.push(event);
    if (incoming.length === 1) lane.closesAt = this.options.windows.add({ sink: this, lane });
    else if (incoming.length >= this.options.limits.maxEvents) this.parking.flush(lane);
  }

  private laneOf(organizationId: string): Lane {
    let lane = this.lanes.get(organizationId);
    if (!lane) {
      lane = new Lane(ownCopy(organizationId));
      this.lanes.set(lane.organizationId, lane);
    }
    return lane;
  }

  private openWindow(lane: Lane): void {
    const { leadingEdge, windows, now } = this.options;
    if (this.draining) {
      if (lane.phase === 'quiet') this.due(lane);
      return;
    }
    const leads = leadingEdge && lane.quietFrom <= now();
    lane.closesAt = leadingEdge ? lane.quietFrom : windows.add({ sink: this, lane });
    if (lane.phase !== 'quiet') return;
    if (leads) this.due(lane);
    else lane.phase = 'gathering';
  }

  private enqueue(lane: Lane): void {
    lane.phase = 'due';
    this.turns.add(lane);
  }

  private due(lane: Lane): void {
    this.enqueue(lane);
    this.dispatch();
  }

  private rest(lane: Lane, delay: number): void {
    lane.phase = 'resting';
    this.options.alarms.set({ sink: this, lane }, delay);
  }

  private waitVisible(lane: Lane): void {
    this.unseen.add(lane);
    this.options.askVisible();
  }

  private sendFrom(lane: Lane): void {
    if (lane.length === 0 && lane.parked) return this.fetch(lane);
    const { limits, windows, leadingEdge, onWindow, now } = this.options;
    const { trouble } = lane;
    const probe = trouble?.probeSecond === true && lane.length > 1;
    const most = trouble ? Math.min(limits.maxEvents, trouble.size) : limits.maxEvents;
    const events = probe ? lane.takeSecond() : lane.take(trouble ? { ...limits, maxEvents: most } : limits);
    const first = events[0];
    if (!first) {
      lane.phase = lane.length > 0 ? 'unseen' : 'quiet';
      return lane.length > 0 ? this.waitVisible(lane) : undefined;
    }
    if (!trouble && first.parkedId === null) onWindow(Math.max(0, now() - lane.closesAt + this.options.window));
    if (leadingEdge) lane.quietFrom = windows.add({ sink: this, lane });
    const attempt = trouble ? 1 + trouble.outages + trouble.failures : 1;
    const { job } = first.origin;
    this.send(
      lane,
      { organizationId: lane.organizationId, events, attempt, ...(job === null ? {} : { job }) },
      (verdicts) => {
        if (probe) this.returns.probed(lane, events, verdicts);
        else this.returns.returned(lane, events, verdicts);
      },
    );
  }

  private send(lane: Lane, batch: Batch, back: (verdicts: Verdicts) => void): void {
    const { destination, signal, onIdle } = this.options;
    lane.phase = 'sending';
    const leave = this.turns.take(lane);
    void destination.deliver(batch, signal).then((verdicts) => {
      leave();
      if (!signal.aborted) {
        back(verdicts);
        this.dispatch();
      }
      onIdle();
    });
  }

  /** Reads the next batch of a parked lane, which then has this turn. */
  private fetch(lane: Lane): void {
    const { destination, signal, onRead, onIdle } = this.options;
    if (lane.heldBy !== null) {
      lane.phase = 'quiet';
      return;
    }
    const wait = Math.max(destination.closedFor, this.parking.canRead(lane) ? 0 : READ_AGAIN_MS);
    if (wait > 0) return this.rest(lane, wait);
    lane.phase = 'fetching';
    const leave = this.turns.take(lane);
    void this.parking.read(lane).then((events) => {
      leave();
      if (!signal.aborted) {
        onRead(events);
        lane.putBack(events, lane.length);
        if (events.length > 0) this.sendFrom(lane);
        else if (lane.parked) this.rest(lane, READ_AGAIN_MS);
        else this.next(lane);
        this.dispatch();
      }
      onIdle();
    });
  }

  /** What the lane does after a batch has settled. */
  private next(lane: Lane): void {
    const { limits, leadingEdge, now } = this.options;
    if (lane.length === 0 && !lane.parked) {
      lane.phase = 'quiet';
      if (!leadingEdge || lane.quietFrom <= now()) this.forget(lane);
    } else if (lane.length === 0 && lane.parked && this.draining) lane.phase = 'quiet';
    else if (lane.parked || this.draining || lane.trouble || lane.isFull(limits) || lane.closesAt <= now()) {
      this.enqueue(lane);
    } else lane.phase = 'gathering';
  }

  private forget(lane: Lane): void {
    if (lane.length > 0 || lane.parked || lane.heldBy !== null || lane.removing > 0) return;
    if (this.lanes.get(lane.organizationId) === lane) this.lanes.delete(lane.organizationId);
  }
}

/** A field of an event is a slice of its row; a lane that kept it would keep the whole row alive. */
function ownCopy(text: string): string {
  return Buffer.from(text).toString();
}
