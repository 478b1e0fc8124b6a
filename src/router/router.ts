/**
 * The router: puts each event into the lane of its organization at each sink its routes name, and takes care that a
 * lane's events leave in windows, in order, when they may be seen.
 *
 * It belongs to one connection. When the connection ends, what it holds is let go: none of it is confirmed, so the slot
 * sends it again.
 */
import { setMaxListeners } from 'node:events';
import type { Timer } from '../clock.ts';
import type { Event, Poison } from '../event.ts';
import type { Lsn } from '../lsn.ts';
import type { LaneName, ParkedLane } from '../pipeline.ts';
import { Alarms } from './alarms.ts';
import { Burial } from './burial.ts';
import type { Phase } from './lane.ts';
import type { BlockedLane } from './lane-blocking.ts';
import { heldBy } from './lane-parking.ts';
import { footprint, MemoryBudget } from './memory-budget.ts';
import { relieve } from './relief.ts';
import { RouteTable } from './route-table.ts';
import type { RouterOptions } from './router-options.ts';
import { SealedLanes } from './sealed-lanes.ts';
import type { SinkLanes } from './sink-lanes.ts';
import type { LaneTurn } from './sink-lanes-options.ts';
import { lanesOf } from './sink-wiring.ts';
import { Windows } from './windows.ts';

export interface RouterState {
  readonly lanes: Readonly<Record<Phase | 'parked', number>>;
  readonly inFlight: Readonly<Record<string, number>>;
  readonly bufferedBytes: number;
  readonly openWindows: number;
}

/** How often lanes are looked through. */
const PATROL_MS = 500;

export class Router {
  private readonly options: RouterOptions;
  private readonly routes: RouteTable;
  private readonly budget: MemoryBudget;
  private readonly windows: Windows<LaneTurn>;
  private readonly alarms: Alarms<LaneTurn>;
  private readonly sinks: readonly SinkLanes[];
  private readonly abort = new AbortController();
  private idleWaiters: (() => void)[] = [];
  private readonly burial: Burial;
  private readonly sealed = new SealedLanes();
  private patrolTimer: Timer | undefined;

  constructor(options: RouterOptions) {
    const { config, clock, destinations } = options;
    this.options = options;
    setMaxListeners(0, this.abort.signal); // one listener for each batch in flight
    this.routes = new RouteTable(
      config.routes,
      destinations.map((destination) => destination.name),
    );
    this.budget = new MemoryBudget(config.memory.budget, (full) => {
      options.onPressure(full);
      if (full) relieve(this.sinks, config.memory.budget);
    });
    this.burial = new Burial({
      office: options.deadLetters,
      settlement: options.settlement,
      budget: this.budget,
      onStored: (letter) => {
        options.watcher.deadLettered(letter);
        this.wakeWaiters();
      },
    });
    this.windows = new Windows(clock, config.batching.window, {
      onClose: ({ sink, lane }) => sink.windowClosed(lane),
      onTick: () => this.dispatchAll(),
    });
    this.alarms = new Alarms(clock, ({ sink, lane }) => sink.rested(lane));
    const around = {
      ...options,
      windows: this.windows,
      alarms: this.alarms,
      budget: this.budget,
      burial: this.burial,
      signal: this.abort.signal,
      settle: (events: readonly Event[]) => this.settle(events),
      onIdle: () => this.wakeWaiters(),
    };
    this.sinks = destinations.map((destination) => lanesOf(destination, around));
    this.patrol();
  }

  /** Puts the event into its lanes; into those of `only`, when given, among the sinks that its routes name. */
  accept(event: Event, only?: readonly string[]): void {
    let targets = this.routes.sinksFor(event);
    if (targets.length === 0) return this.unrouted(event);
    if (only) targets = targets.filter((index) => only.includes((this.sinks[index] as SinkLanes).name));
    this.options.settlement.hold(event.origin, targets.length);
    this.budget.take(footprint(event) * targets.length);
    for (const index of targets) (this.sinks[index] as SinkLanes).accept(event);
  }

  /** Puts the event into its lane at one sink, whatever its routes name by now; without effect when there is no such sink. */
  acceptAt(event: Event, name: string): void {
    const sink = this.sinks.find((sink) => sink.name === name);
    if (!sink) return;
    this.options.settlement.hold(event.origin, 1);
    this.budget.take(footprint(event));
    sink.acceptReturning(event);
  }

  /** The job has sent its last event: lanes that it led go on with what waited behind. */
  endJob(job: string): void {
    for (const sink of this.sinks) sink.endJob(job);
  }

  /** Takes up the lanes that an earlier connection left parked, or blocked by a dead letter. Before the first event. */
  restore(parked: readonly ParkedLane[], blocked: readonly LaneName[] = []): void {
    const blocks = this.options.config.delivery.on_dead_letter === 'block';
    const sealed = new Set(parked.filter(({ resentUntil }) => resentUntil !== null).map(laneKey));
    for (const lane of blocks ? blocked : []) {
      this.sinkNamed(lane.sink)?.block(lane.organizationId, sealed.has(laneKey(lane)));
    }
    for (const { sink, organizationId, resentUntil } of parked) {
      this.sinkNamed(sink)?.restore(organizationId, resentUntil !== null);
    }
    this.sealed.seal(parked);
    this.dispatchAll();
  }

  /** Everything that was committed before this position has been accepted. */
  passed(lsn: Lsn): void {
    const lanes = this.sealed.passed(lsn);
    for (const { sink, organizationId } of lanes) this.sinkNamed(sink)?.unseal(organizationId);
    if (lanes.length > 0) this.dispatchAll();
  }

  /** Parked lanes that rest are due now: those of one sink, of one organization, or one lane, which may be new. */
  wake({ sink, organizationId }: Partial<LaneName> = {}): void {
    for (const each of this.sinks) if (sink === undefined || each.name === sink) each.wake(organizationId);
  }

  /** Lanes that wait for a person, as far as their dead letters are stored. */
  blocked(): readonly BlockedLane[] {
    return this.sinks.flatMap((sink) => sink.blocked);
  }

  /** What the table said after `blocked` had been asked: all but these go on. */
  unblock(asked: readonly BlockedLane[], still: readonly LaneName[]): void {
    const held = new Set(still.map(laneKey));
    for (const lane of asked) if (!held.has(laneKey(lane))) this.sinkNamed(lane.sink)?.unblock(lane);
  }

  /** A row that cannot become an event is stored for a person, like an event that no one wants. */
  acceptPoison(poison: Poison): void {
    this.burial.poison(poison);
  }

  /** Some transactions became visible. */
  readonly seen = (): void => {
    for (const sink of this.sinks) sink.seen();
  };

  /**
   * Closes all windows, takes nothing into windows any more, and resolves when all is sent that can be sent now: lanes
   * that rest after a failure are not waited for.
   */
  async drain(signal?: AbortSignal): Promise<void> {
    for (const sink of this.sinks) sink.drain();
    while (!this.drained && !signal?.aborted) {
      await new Promise<void>((resolve) => {
        this.idleWaiters.push(resolve);
        signal?.addEventListener('abort', () => resolve(), { once: true });
      });
    }
  }

  /** Lets go of everything; resolves when no delivery is in flight any more. */
  async close(): Promise<void> {
    this.abort.abort();
    for (const sink of this.sinks) sink.close();
    this.windows.dispose();
    this.alarms.dispose();
    this.patrolTimer?.cancel();
    while (this.sinks.some((sink) => sink.inFlight > 0)) {
      await new Promise<void>((resolve) => this.idleWaiters.push(resolve));
    }
  }

  state(): RouterState {
    const lanes: Record<Phase | 'parked', number> = {
      gathering: 0,
      due: 0,
      unseen: 0,
      fetching: 0,
      sending: 0,
      resting: 0,
      quiet: 0,
      blocked: 0,
      parked: 0,
    };
    for (const sink of this.sinks) sink.countLanes(lanes);
    const inFlight = Object.fromEntries(this.sinks.map((sink) => [sink.name, sink.inFlight]));
    return { lanes, inFlight, bufferedBytes: this.budget.used, openWindows: this.windows.open };
  }

  private sinkNamed(name: string): SinkLanes | undefined {
    return this.sinks.find((sink) => sink.name === name);
  }

  private get drained(): boolean {
    return this.burial.underWay === 0 && this.sinks.every((sink) => sink.drained);
  }

  private settle(events: readonly Event[]): void {
    for (const event of events) if (event.parkedId === null) this.options.settlement.settle(event.origin);
    this.budget.give(heldBy(events));
  }

  private unrouted(event: Event): void {
    if (this.options.config.delivery.unrouted === 'drop') this.options.watcher.dropped();
    else this.burial.unrouted(event);
  }

  /** Looks through the lanes now and then for events that have waited too long. */
  private patrol(): void {
    const { config, clock } = this.options;
    const parkAfter = config.delivery.park_after;
    this.patrolTimer = clock.schedule(Math.min(PATROL_MS, parkAfter / 4), () => {
      for (const sink of this.sinks) sink.parkOverdue(parkAfter);
      this.patrol();
    });
  }

  private dispatchAll(): void {
    for (const sink of this.sinks) sink.dispatch();
  }

  private wakeWaiters(): void {
    if (this.idleWaiters.length === 0) return;
    const waiters = this.idleWaiters;
    this.idleWaiters = [];
    for (const wake of waiters) wake();
  }
}

function laneKey({ sink, organizationId }: LaneName): string {
  return JSON.stringify([sink, organizationId]);
}
