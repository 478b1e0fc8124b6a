/** All lanes of one sink: who gathers, who sends, who waits. */
import type { Event } from '../event.ts';
import { Lane, type Phase } from './lane.ts';
import { blockedLanes, type BlockedLane, free, halt, newBlock, standsStill } from './lane-blocking.ts';
import { LaneParking } from './lane-parking.ts';
import { LaneReturns } from './lane-returns.ts';
import { LaneSending } from './lane-sending.ts';
import type { SinkLanesOptions } from './sink-lanes-options.ts';

export class SinkLanes {
  readonly name: string;
  private readonly options: SinkLanesOptions;
  private readonly lanes = new Map<string, Lane>();
  private unseen = new Set<Lane>();
  private readonly parking: LaneParking;
  private readonly sending: LaneSending;
  private draining = false;

  constructor(options: SinkLanesOptions) {
    const { destination, lot, limits, onDropped } = options;
    this.options = options;
    this.name = destination.name;
    this.parking = new LaneParking({
      sink: this.name,
      lot,
      limits,
      onParked: (events) => options.onParked(this.name, events),
      onDropped,
      waitVisible: (lane) => this.waitVisible(lane),
      onRemoved: (lane) => lane.phase === 'quiet' && this.forget(lane),
    });
    const returns = new LaneReturns({
      ...options,
      sink: this.name,
      parking: this.parking,
      go: (lane) => this.next(lane),
      again: (lane) => this.enqueue(lane),
      rest: (lane, delay) => this.rest(lane, delay),
      buried: (lane) => this.buried(lane),
    });
    this.sending = new LaneSending({
      ...options,
      returns,
      parking: this.parking,
      go: (lane) => this.next(lane),
      again: (lane) => this.enqueue(lane),
      rest: (lane, delay) => this.rest(lane, delay),
      forget: (lane) => this.forget(lane),
      waitVisible: (lane) => this.waitVisible(lane),
      openWindow: (lane) => options.windows.add({ sink: this, lane }),
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

  /** An event comes back to the sink that it was meant for: it passes a lane that waits for a person. */
  acceptReturning(event: Event): void {
    const lane = this.laneOf(event.organizationId);
    const { job } = event.origin;
    if (!lane.blocked || job === null) return this.accept(event);
    lane.blocked.passing = job;
    lane.heldBy = job;
    lane.push(event);
    if (lane.phase === 'blocked') this.due(lane);
  }

  /** The window of the lane is over. */
  windowClosed(lane: Lane): void {
    if (lane.parked) this.parking.flush(lane);
    if (lane.phase === 'gathering' && lane.closesAt <= this.options.now()) this.enqueue(lane);
    else if (lane.phase === 'quiet') this.forget(lane);
  }

  /** The wait of a resting lane is over. */
  rested(lane: Lane): void {
    if (lane.phase === 'resting' && lane.restsUntil <= this.options.now()) this.due(lane);
  }

  /** Parked lanes that rest are due now: one, when it is named, or all. */
  wake(organizationId?: string): void {
    if (organizationId !== undefined) this.restore(organizationId, false);
    const one = organizationId === undefined ? undefined : this.lanes.get(organizationId);
    for (const lane of one ? [one] : this.lanes.values()) {
      if (lane.phase === 'resting' && lane.parked) this.enqueue(lane);
    }
    this.dispatch();
  }

  /** An earlier connection left a dead letter that blocks the lane. */
  block(organizationId: string, sealed: boolean): void {
    const lane = this.laneOf(organizationId);
    lane.blocked ??= newBlock();
    this.parking.restore(lane, sealed);
    if (lane.phase === 'quiet') halt(lane, this.parking);
  }

  get blocked(): readonly BlockedLane[] {
    return blockedLanes(this.name, this.lanes.values());
  }

  /** No dead letter blocks the lane any more. */
  unblock(blocked: BlockedLane): void {
    if (free(blocked) && blocked.lane.phase === 'blocked') this.due(blocked.lane);
  }

  /** A snapshot saw more transactions. */
  seen(): void {
    const lanes = this.unseen;
    this.unseen = new Set();
    for (const lane of lanes) {
      if (lane.parkWhenSeen && !lane.keepsPlace) this.parking.park(lane);
      this.parking.flush(lane);
      if (lane.phase === 'unseen') this.enqueue(lane);
    }
    this.dispatch();
  }

  /** An earlier connection left rows of this organization in Postgres; sealed: they may not be read before `unseal`. */
  restore(organizationId: string, sealed = false): void {
    const lane = this.laneOf(organizationId);
    this.parking.restore(lane, sealed);
    if (lane.phase === 'quiet' && lane.parked?.sealed !== true) this.enqueue(lane);
  }

  unseal(organizationId: string): void {
    const lane = this.laneOf(organizationId);
    this.parking.unseal(lane);
    if (lane.phase === 'quiet') this.enqueue(lane);
  }

  /** Parks every lane whose oldest event has waited for `parkAfter` milliseconds; transactions have one arrival. */
  parkOverdue(parkAfter: number): void {
    const latest = this.options.now() - parkAfter;
    for (const lane of this.lanes.values()) {
      const first = lane.first;
      if (!first || first.parkedId !== null || first.origin.receivedAt > latest) continue;
      if (lane.phase !== 'gathering' && lane.mayPark) this.parking.park(lane);
    }
    this.dispatch();
  }

  /** Parks the lane because it holds too much; it is read back as soon as it has its turn. */
  parkLoad(lane: Lane): void {
    if (lane.mayPark) this.parking.park(lane);
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
    return this.sending.idle && this.unseen.size === 0;
  }

  countLanes(counts: Record<Phase | 'parked', number>): void {
    for (const lane of this.lanes.values()) {
      counts[lane.blocked ? 'blocked' : lane.parked ? 'parked' : lane.phase] += 1;
    }
  }

  get inFlight(): number {
    return this.sending.inFlight;
  }

  dispatch(): void {
    this.sending.dispatch();
  }

  close(): void {
    this.sending.close();
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
      lane = new Lane(organizationId);
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
    if (standsStill(lane)) return halt(lane, this.parking);
    lane.phase = 'due';
    this.sending.add(lane);
  }

  private due(lane: Lane): void {
    this.enqueue(lane);
    this.dispatch();
  }

  private rest(lane: Lane, delay: number): void {
    if (standsStill(lane)) return halt(lane, this.parking);
    lane.phase = 'resting';
    lane.restsUntil = this.options.now() + delay;
    this.options.alarms.set({ sink: this, lane }, delay);
  }

  private waitVisible(lane: Lane): void {
    this.unseen.add(lane);
    this.options.askVisible();
  }

  /** The dead letters of the lane are durable: what stood behind them may go. */
  private buried(lane: Lane): void {
    if (lane.phase === 'resting' && lane.restsUntil === Infinity) this.due(lane);
    else if (lane.phase === 'quiet') this.forget(lane);
  }

  /** What the lane does after a batch has settled. */
  private next(lane: Lane): void {
    if (standsStill(lane)) return halt(lane, this.parking);
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
    if (lane.length > 0 || lane.parked || lane.heldBy !== null || lane.removing + lane.burying > 0 || lane.blocked)
      return;
    if (this.lanes.get(lane.organizationId) === lane) this.lanes.delete(lane.organizationId);
  }
}
