/** All lanes of one sink: who gathers, who sends, who waits. */
import type { Timer } from '../clock.ts';
import type { Event } from '../event.ts';
import type { Batch, Verdicts } from '../pipeline.ts';
import { Lane, type Phase } from './lane.ts';
import { blockedLanes, type BlockedLane, free, halt, newBlock, standsStill } from './lane-blocking.ts';
import { LaneParking } from './lane-parking.ts';
import { LaneReturns } from './lane-returns.ts';
import type { SinkLanesOptions } from './sink-lanes-options.ts';
import { Turns } from './turns.ts';

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
  /** The sink is over its rate: nobody has a turn until then. */
  private pausing: Timer | undefined;

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
      buried: (lane) => this.buried(lane),
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
    const waiting = this.pausing === undefined && this.turns.waiting > 0;
    return this.inFlight === 0 && !waiting && this.unseen.size === 0;
  }

  countLanes(counts: Record<Phase | 'parked', number>): void {
    for (const lane of this.lanes.values()) {
      counts[lane.blocked ? 'blocked' : lane.parked ? 'parked' : lane.phase] += 1;
    }
  }

  get inFlight(): number {
    return this.turns.inFlight;
  }

  /** Sends while the sink takes batches. */
  dispatch(): void {
    while (!this.pause()) {
      const lane = this.turns.next();
      if (!lane) return;
      this.sendFrom(lane);
    }
  }

  close(): void {
    this.pausing?.cancel();
  }

  /** Over its rate the whole sink waits, with every lane in its place. */
  private pause(): boolean {
    const wait = this.options.limiter?.sinkWait ?? 0;
    if (wait <= 0) return false;
    this.pausing ??= this.options.schedule(wait, () => {
      this.pausing = undefined;
      this.dispatch();
    });
    return true;
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
    this.turns.add(lane);
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

  private sendFrom(lane: Lane): void {
    if (lane.burying > 0) {
      lane.phase = 'resting';
      lane.restsUntil = Infinity;
      return;
    }
    const { windows, leadingEdge, onWindow, now, limiter } = this.options;
    const allowed = limiter?.allowed(lane.organizationId) ?? Infinity;
    if (allowed < 1) return this.slowDown(lane);
    if (lane.length === 0 && lane.parked) return this.fetch(lane, allowed);
    const { trouble } = lane;
    const { events, probe } = this.takeBatch(lane, allowed);
    const first = events[0];
    if (!first) {
      lane.phase = lane.length > 0 ? 'unseen' : 'quiet';
      return lane.length > 0 ? this.waitVisible(lane) : this.forget(lane);
    }
    limiter?.spend(lane.organizationId, events.length);
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

  /** What its trouble and its rate leave of a full batch; or the second event alone, to probe. */
  private takeBatch(lane: Lane, allowed: number): { events: readonly Event[]; probe: boolean } {
    const { limits } = this.options;
    const { trouble } = lane;
    const second = trouble?.probeSecond ? lane.takeSecond() : [];
    if (second.length > 0) return { events: second, probe: true };
    const most = Math.min(limits.maxEvents, trouble?.size ?? Infinity, allowed);
    return { events: lane.take(most < limits.maxEvents ? { ...limits, maxEvents: most } : limits), probe: false };
  }

  /** Over its rate a lane waits without any trouble; where the sink is, the lane keeps its turn. */
  private slowDown(lane: Lane): void {
    const wait = this.options.limiter?.organizationWait(lane.organizationId) ?? 0;
    if (wait > 0) this.rest(lane, wait);
    else this.enqueue(lane);
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
  private fetch(lane: Lane, most: number): void {
    const { destination, signal, onRead, onIdle, reserve } = this.options;
    if (lane.heldBy !== null) {
      lane.phase = 'quiet';
      return;
    }
    const wait = Math.max(destination.closedFor, this.parking.canRead(lane) ? 0 : READ_AGAIN_MS);
    const release = wait > 0 ? undefined : reserve();
    if (!release) return this.rest(lane, wait || READ_AGAIN_MS);
    lane.phase = 'fetching';
    const leave = this.turns.take(lane);
    void this.parking.read(lane, most).then((events) => {
      leave();
      release();
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
