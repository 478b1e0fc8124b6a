/** What each lane of one sink does next: it gathers, waits for its turn, backs off, stands still, or is let go of. */
import type { Event } from '../../event.ts';
import { LSN_ZERO, type Lsn } from '../../lsn.ts';
import { EventsApart } from './apart.ts';
import { halt } from './blocking.ts';
import { type Departure, departureOf, type Gathered } from './departure.ts';
import { LaneDispatch } from './dispatch.ts';
import { dropLane, endLane, type LaneEndingOptions } from './ending.ts';
import { EarlierFailures } from './earlier-failures.ts';
import { Lane } from './lane.ts';
import { nameOfLane } from './lane-name.ts';
import { LaneMap } from './lane-map.ts';
import type { LaneScheduler } from './lane-scheduler.ts';
import { LaneParking } from './parking.ts';
import { PausedLanes } from './pausing.ts';
import { LaneResults } from './results.ts';
import type { SinkLanesOptions } from './sink-lanes-options.ts';
import { Windows } from '../timing/windows.ts';

export class SinkScheduler implements LaneScheduler {
  readonly lanes = new LaneMap<Lane>();
  readonly earlier: EarlierFailures;
  readonly parking: LaneParking;
  readonly results: LaneResults;
  readonly sending: LaneDispatch;
  /** Events that have failed alone; with `order: none`. */
  readonly apart: EventsApart | undefined;
  /** Kept by SinkLanes, which is told what is paused. */
  paused: PausedLanes;
  private readonly options: SinkLanesOptions;
  private readonly ending: LaneEndingOptions;
  private readonly windows: Windows<Lane>;
  private unseen = new Set<Lane>();
  private draining = false;

  constructor(options: SinkLanesOptions) {
    const { destination, lot, limits, accounts, clock, window } = options;
    const sink = destination.name;
    this.options = options;
    this.paused = new PausedLanes(sink, [], options.rule);
    this.parking = new LaneParking({ sink, lot, limits, accounts, scheduler: this });
    this.earlier = new EarlierFailures(clock);
    this.windows = new Windows(clock, window, {
      onClose: (lane) => this.windowClosed(lane),
      onTick: () => this.sending.dispatch(),
    });
    const shared = { ...options, sink, parking: this.parking, scheduler: this, earlier: this.earlier };
    this.apart = options.order === 'none' ? this.makeApart() : undefined;
    this.results = new LaneResults({ ...shared, apart: this.apart });
    this.sending = new LaneDispatch({ ...shared, results: this.results });
    this.ending = { ...shared, results: this.results };
  }

  private makeApart(): EventsApart {
    const { lanes, parking } = this;
    return new EventsApart({
      lanes,
      parking,
      quickRetries: this.options.policy.quickRetries,
      laneOf: (organizationId, name) => this.laneOf(organizationId, name),
      add: (lane, event) => this.add(lane, event),
    });
  }

  /** The lane of that name, which may be new. */
  laneOf(organizationId: string, name: string): Lane {
    let lane = this.lanes.get(organizationId, name);
    if (!lane) {
      lane = new Lane(organizationId, name);
      this.lanes.set(lane.organizationId, lane.name, lane);
      if (this.paused.has(organizationId, name)) this.hold(lane);
    }
    return lane;
  }

  get openWindows(): number {
    return this.windows.open;
  }

  /** Some lane waits for a snapshot. */
  get awaitsVisible(): boolean {
    return this.unseen.size > 0;
  }

  // ── events arrive ────────────────────────────────────────────────────────────────────────────────────────────────

  add(lane: Lane, event: Event): void {
    const { job } = event.origin;
    if (job !== null && lane.parked === null) this.parking.leadBy(lane, job);
    if (lane.parked && (job === null || lane.leadingJob !== job)) return this.addBehind(lane, event);
    lane.push(event);
    if (lane.phase !== 'gathering') {
      if (lane.length === 1) this.arrived(lane);
    } else if (lane.isFull(this.options.limits)) this.due(lane); // most events come here: its window is open
  }

  /** The front of the lane is in Postgres, or belongs to a job. */
  private addBehind(lane: Lane, event: Event): void {
    const waiting = lane.parked?.addIncoming(event) ?? 0;
    if (waiting === 1) lane.joinWindow(this.openWindow(lane));
    else if (waiting >= this.options.limits.maxEvents) this.parking.flush(lane);
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

  // ── something that a lane waited for is there ────────────────────────────────────────────────────────────────────

  windowClosed(lane: Lane): void {
    if (lane.parked) this.parking.flush(lane);
    if (lane.phase === 'gathering' && lane.closesAt <= this.options.clock.now()) this.requeue(lane);
    else this.release(lane);
  }

  /** The wait of a lane that backs off is over. */
  rested(lane: Lane): void {
    if (lane.phase === 'backing_off' && lane.backsOffUntil <= this.options.clock.now()) this.due(lane);
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
    this.sending.dispatch();
  }

  /** Every window counts as closed from now on. */
  drain(): void {
    this.draining = true;
    for (const lane of this.lanes.values()) {
      this.parking.flush(lane);
      if (lane.phase === 'gathering') this.requeue(lane);
    }
    this.sending.dispatch();
  }

  close(): void {
    this.windows.close();
    this.sending.close();
  }

  // ── what a lane does next ────────────────────────────────────────────────────────────────────────────────────────

  requeue(lane: Lane): void {
    if (lane.isOver) return;
    if (lane.standsStill) return this.halt(lane);
    lane.enter('ready');
    this.sending.add(lane);
  }

  due(lane: Lane): void {
    this.requeue(lane);
    this.sending.dispatch();
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

  /** After a batch has settled. */
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
    if (lane.phase === 'idle' && lane.isForgettable) this.forget(lane);
  }

  // ── a lane that ends ─────────────────────────────────────────────────────────────────────────────────────────────

  end(organizationId: string, name: string, given: { readonly at: Lsn; readonly dropped: () => void }): void {
    const lane = this.lanes.get(organizationId, name);
    endLane(lane, nameOfLane(this.ending.sink, { organizationId, name }), given, this.ending);
    if (lane?.isOver === true) this.over(lane);
  }

  drop(lane: Lane): void {
    dropLane(lane, { at: lane.finishesBy ?? LSN_ZERO, dropped: () => undefined }, this.ending);
    this.over(lane);
  }

  private over(lane: Lane): void {
    this.earlier.settled(lane);
    this.forget(lane);
  }

  private forget(lane: Lane): void {
    const { organizationId, name } = lane;
    if (this.lanes.get(organizationId, name) === lane) this.lanes.delete(organizationId, name);
  }

  // ── a lane that waits for a person ───────────────────────────────────────────────────────────────────────────────

  /** What is in flight, or is being read, comes back first. */
  hold(lane: Lane): void {
    lane.setPaused(true);
    this.earlier.settled(lane);
    if (lane.phase !== 'sending' && lane.phase !== 'reading') this.halt(lane);
  }

  halt(lane: Lane): void {
    if (lane.paused && lane.isPassing) this.results.giveUpPassing(lane);
    halt(lane, this.parking);
  }
}
