/** All lanes of one sink: who gathers, who sends, who waits. */
import type { Event, Origin } from '../../event.ts';
import type { FailingLane, LaneName, PausedPart } from '../../pipeline.ts';
import { EarlierFailures } from './earlier-failures.ts';
import { failingLanes } from './failing-lanes.ts';
import { Lane, type LaneState } from './lane.ts';
import { nameOfLane } from './lane-name.ts';
import { blockedLanes, type BlockedLane, free, halt } from './blocking.ts';
import type { LaneScheduler } from './lane-scheduler.ts';
import { LaneParking } from './parking.ts';
import { endPause, PausedLanes } from './pausing.ts';
import { LaneResults } from './results.ts';
import { type Departure, departureOf, type Gathered } from './departure.ts';
import { LaneDispatch } from './dispatch.ts';
import { type Refusal, refusalOf } from './refusal.ts';
import type { SinkLanesOptions } from './sink-lanes-options.ts';
import { Windows } from '../timing/windows.ts';

export class SinkLanes implements LaneScheduler {
  readonly name: string;
  private readonly options: SinkLanesOptions;
  private readonly lanes = new Map<string, Lane>();
  private unseen = new Set<Lane>();
  private readonly earlier: EarlierFailures;
  private readonly parking: LaneParking;
  private readonly results: LaneResults;
  private readonly sending: LaneDispatch;
  private paused: PausedLanes;
  private readonly windows: Windows<Lane>;
  private draining = false;

  constructor(options: SinkLanesOptions) {
    const { destination, lot, limits, accounts, clock, window } = options;
    this.options = options;
    this.name = destination.name;
    this.parking = new LaneParking({ sink: this.name, lot, limits, accounts, scheduler: this });
    this.earlier = new EarlierFailures(clock);
    this.windows = new Windows(clock, window, {
      onClose: (lane) => this.windowClosed(lane),
      onTick: () => this.dispatch(),
    });
    const shared = { ...options, sink: this.name, parking: this.parking, scheduler: this, earlier: this.earlier };
    this.results = new LaneResults(shared);
    this.sending = new LaneDispatch({ ...shared, results: this.results });
    this.paused = new PausedLanes(this.name);
  }

  accept(event: Event): void {
    const lane = this.laneOf(event.organizationId);
    const { job } = event.origin;
    if (job !== null && lane.parked === null) this.parking.leadBy(lane, job);
    if (lane.parked && (job === null || lane.leadingJob !== job)) return this.acceptBehind(lane, event);
    lane.push(event);
    if (lane.phase !== 'gathering') {
      if (lane.length === 1) this.arrived(lane);
    } else if (lane.isFull(this.options.limits)) this.due(lane); // most events come here: its window is open
  }

  /** An event comes back to the sink that it was meant for: it passes a lane that waits for a person. */
  acceptReturning(event: Event): void {
    const lane = this.laneOf(event.organizationId);
    const { job } = event.origin;
    if (!lane.blocked || job === null) return this.accept(event);
    lane.blocked.letPass(job);
    lane.leadBy(job);
    lane.push(event);
    if (lane.phase === 'blocked') this.due(lane);
  }

  get openWindows(): number {
    return this.windows.open;
  }

  /** The window of the lane is over. */
  windowClosed(lane: Lane): void {
    if (lane.parked) this.parking.flush(lane);
    if (lane.phase === 'gathering' && lane.closesAt <= this.options.clock.now()) this.requeue(lane);
    else this.release(lane);
  }

  /** The wait of a lane that backs off is over. */
  rested(lane: Lane): void {
    if (lane.phase === 'backing_off' && lane.backsOffUntil <= this.options.clock.now()) this.due(lane);
  }

  /** Parked lanes that back off are ready now: one, when it is named, or all. */
  wake(organizationId?: string): void {
    if (organizationId !== undefined) this.restore(organizationId, false);
    const one = organizationId === undefined ? undefined : this.lanes.get(organizationId);
    for (const lane of one ? [one] : this.lanes.values()) {
      if (lane.phase === 'backing_off' && lane.parked) this.requeue(lane);
    }
    this.dispatch();
  }

  /** An earlier connection left a dead letter that blocks the lane. */
  block(organizationId: string, awaitingResend: boolean): void {
    const lane = this.laneOf(organizationId);
    lane.blockBy();
    this.parking.restore(lane, awaitingResend);
    if (lane.phase === 'idle') this.halt(lane);
  }

  /** From now on these are paused, and no others. */
  pause(parts: readonly PausedPart[]): void {
    this.paused = new PausedLanes(this.name, parts);
    for (const lane of this.lanes.values()) {
      const isPaused = this.paused.has(lane.organizationId);
      if (isPaused && !lane.paused) this.hold(lane);
      else if (!isPaused && lane.paused && endPause(lane)) this.requeue(lane);
    }
    this.dispatch();
  }

  isPaused(organizationId: string): boolean {
    return this.paused.has(organizationId);
  }

  get blocked(): readonly BlockedLane[] {
    return blockedLanes(this.name, this.lanes.values());
  }

  /** No dead letter blocks the lane any more. */
  unblock(blocked: BlockedLane): void {
    if (free(blocked) && blocked.held.phase === 'blocked') this.due(blocked.held);
  }

  /** A snapshot saw more transactions. */
  seen(): void {
    const lanes = this.unseen;
    this.unseen = new Set();
    for (const lane of lanes) {
      if (lane.parksWhenVisible && !lane.keepsPlace) this.parking.park(lane);
      this.parking.flush(lane);
      if (lane.phase === 'awaiting_visibility') this.requeue(lane);
    }
    this.dispatch();
  }

  /** An earlier connection left rows of this organization in Postgres; awaitingResend: they may not be read before `resent`. */
  restore(organizationId: string, awaitingResend = false): void {
    const lane = this.laneOf(organizationId);
    this.parking.restore(lane, awaitingResend);
    if (lane.phase === 'idle' && lane.parked?.awaitingResend !== true) this.requeue(lane);
  }

  /** An earlier connection left this lane failing. */
  recall(lane: FailingLane): void {
    if (!this.paused.has(lane.organizationId)) this.earlier.add(lane);
  }

  resent(organizationId: string): void {
    const lane = this.laneOf(organizationId);
    this.parking.resent(lane);
    if (lane.phase === 'idle') this.requeue(lane);
  }

  /** Parks every lane whose oldest event has waited for `parkAfter` milliseconds. Events of one transaction arrived together, so the first says it for all. */
  parkOverdue(parkAfter: number): void {
    const latest = this.options.clock.now() - parkAfter;
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

  /** The lane that has an event of this origin in front, or with the destination since `sentAt`. */
  laneAt(origin: Origin): { readonly lane: Lane; readonly sentAt: number | null } | undefined {
    const sent = this.sending.sentOf(origin);
    if (sent) return { lane: sent.lane, sentAt: sent.at };
    for (const lane of this.lanes.values()) if (lane.first?.origin === origin) return { lane, sentAt: null };
    return undefined;
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
      if (lane.phase === 'gathering') this.requeue(lane);
    }
    this.dispatch();
  }

  /** Nothing is left in memory that could be sent without waiting for a destination to recover. */
  get drained(): boolean {
    return this.sending.idle && this.unseen.size === 0;
  }

  countLanes(counts: Record<LaneState, number>): void {
    for (const lane of this.lanes.values()) counts[lane.state] += 1;
  }

  /** The lanes whose destination refuses everything that they send, at most `most` of them. */
  refusals(most: number): readonly Refusal[] {
    const found: Refusal[] = [];
    for (const lane of this.lanes.values()) {
      if (found.length >= most) break;
      const probing = lane.failure?.probing;
      if (probing && lane.refuses && !lane.paused) found.push(refusalOf(this.laneName(lane), probing));
    }
    return found;
  }

  get failing(): Iterable<FailingLane> {
    const failing = failingLanes(this.name, this.lanes.values(), this.paused);
    return this.earlier.with(failing, (id) => this.lanes.has(id) && !this.paused.has(id));
  }

  get inFlight(): number {
    return this.sending.inFlight;
  }

  dispatch(): void {
    this.sending.dispatch();
  }

  close(): void {
    this.windows.close();
    this.sending.close();
  }

  /** The job has no more events: what waited behind it goes on. */
  endJob(job: string): void {
    for (const lane of this.lanes.values()) {
      if (lane.leadingJob !== job) continue;
      this.parking.endLead(lane);
      if (lane.phase === 'idle') this.proceed(lane);
    }
    this.dispatch();
  }

  /** The front of the lane is in Postgres, or belongs to a job. */
  private acceptBehind(lane: Lane, event: Event): void {
    const waiting = lane.parked?.addIncoming(event) ?? 0;
    if (waiting === 1) lane.joinWindow(this.openWindow(lane));
    else if (waiting >= this.options.limits.maxEvents) this.parking.flush(lane);
  }

  private laneName(lane: Lane): LaneName {
    return nameOfLane(this.name, lane);
  }

  private laneOf(organizationId: string): Lane {
    let lane = this.lanes.get(organizationId);
    if (!lane) {
      lane = new Lane(organizationId);
      this.lanes.set(lane.organizationId, lane);
      if (this.paused.has(organizationId)) this.hold(lane);
    }
    return lane;
  }

  /** An event has come to a lane that held none. */
  private arrived(lane: Lane): void {
    const windowOpen = this.joinWindow(lane);
    const busy = lane.phase !== 'idle';
    const departure = this.departureOf(lane, { busy, windowOpen, resumes: false });
    if (departure === 'now') this.due(lane);
    else if (departure === 'window') lane.enter('gathering');
  }

  /** The first event of a batch joins its window; false when none is open for it. */
  private joinWindow(lane: Lane): boolean {
    const { mode, clock, window } = this.options;
    if (this.draining) return false;
    if (mode === 'window') {
      lane.joinWindow(this.openWindow(lane));
      return true;
    }
    const adapts = mode === 'adaptive';
    lane.joinWindow(adapts ? clock.now() + window : lane.gathersUntil);
    return !adapts && lane.gathersUntil > clock.now();
  }

  private departureOf(lane: Lane, given: Pick<Gathered, 'busy' | 'windowOpen' | 'resumes'>): Departure {
    const { mode, limits } = this.options;
    const { busy, windowOpen, resumes } = given;
    return departureOf({ mode, busy, full: lane.isFull(limits), windowOpen, resumes, draining: this.draining });
  }

  /** What is in flight, or is being read, comes back first. */
  private hold(lane: Lane): void {
    lane.setPaused(true);
    this.earlier.settled(lane.organizationId);
    if (lane.phase !== 'sending' && lane.phase !== 'reading') this.halt(lane);
  }

  private halt(lane: Lane): void {
    if (lane.paused && lane.isPassing) this.results.giveUpPassing(lane);
    halt(lane, this.parking);
  }

  requeue(lane: Lane): void {
    if (lane.standsStill) return this.halt(lane);
    lane.enter('ready');
    this.sending.add(lane);
  }

  private due(lane: Lane): void {
    this.requeue(lane);
    this.dispatch();
  }

  backOff(lane: Lane, delay: number): void {
    if (lane.standsStill) return this.halt(lane);
    lane.backOff(this.options.clock.now() + delay);
    this.options.timers.set({ sink: this, lane }, delay);
  }

  openWindow(lane: Lane): number {
    return this.windows.add(lane);
  }

  awaitVisible(lane: Lane): void {
    this.unseen.add(lane);
    this.options.askVisible();
  }

  /** What the lane does after a batch has settled. */
  proceed(lane: Lane): void {
    if (lane.standsStill) return this.halt(lane);
    const now = this.options.clock.now();
    if (lane.length === 0 && !lane.parked) {
      lane.enter('idle');
      if (lane.gathersUntil <= now) this.release(lane);
    } else if (lane.length === 0 && lane.parked && this.draining) lane.enter('idle');
    else {
      const resumes = lane.parked !== null || lane.failure !== null;
      const departure = this.departureOf(lane, { busy: false, windowOpen: lane.closesAt > now, resumes });
      if (departure === 'now') this.requeue(lane);
      else lane.enter('gathering');
    }
  }

  release(lane: Lane): void {
    if (lane.phase === 'awaiting_dead_letters' && lane.pendingDeadLetters === 0) return this.due(lane);
    if (lane.phase !== 'idle' || !lane.isForgettable) return;
    if (this.lanes.get(lane.organizationId) === lane) this.lanes.delete(lane.organizationId);
  }
}
