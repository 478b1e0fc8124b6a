/**
 * The router: puts each event into the lane of its organization at each sink its routes name, and takes care that a
 * lane's events leave in windows, in order, when they may be seen.
 *
 * It belongs to one connection. When the connection ends, what it holds is let go: none of it is confirmed, so the slot
 * sends it again.
 */
import { setMaxListeners } from 'node:events';
import type { Config } from '../config/schema.ts';
import type { Clock, Timer } from '../clock.ts';
import type { Event, Poison } from '../event.ts';
import type { Lsn } from '../lsn.ts';
import type {
  DeadLetter,
  DeadLetterOffice,
  Destination,
  LaneName,
  ParkedLane,
  ParkingLot,
  Settlement,
} from '../pipeline.ts';
import { Alarms } from './alarms.ts';
import type { Phase } from './lane.ts';
import type { BlockedLane } from './lane-blocking.ts';
import { Burial } from './burial.ts';
import { heldBy } from './lane-parking.ts';
import { footprint, MemoryBudget } from './memory-budget.ts';
import { relieve } from './relief.ts';
import { RateLimiter } from './rate-limiter.ts';
import { RouteTable } from './route-table.ts';
import { SealedLanes } from './sealed-lanes.ts';
import { SinkLanes } from './sink-lanes.ts';
import type { LaneTurn } from './sink-lanes-options.ts';
import { Windows } from './windows.ts';

/** What the router reports while it works; called once a batch. */
export interface RouterWatcher {
  delivered(sink: string, count: number, oldest: Event): void;
  parked(sink: string, count: number): void;
  deadLettered(sink: string | null, reason: DeadLetter['reason']): void;
  dropped(): void;
  /** Milliseconds from the opening of a window to the departure of its batch. */
  windowWait(ms: number): void;
}

export interface RouterOptions {
  readonly config: Pick<Config, 'batching' | 'delivery' | 'routes' | 'memory' | 'sinks'>;
  readonly destinations: readonly Destination[];
  readonly settlement: Settlement;
  readonly deadLetters: DeadLetterOffice;
  readonly lot: ParkingLot;
  readonly clock: Clock;
  readonly watcher: RouterWatcher;
  /** Events want to leave whose transactions no snapshot has seen yet. */
  readonly askVisible: () => void;
  /** The memory budget is full, or has room again. */
  readonly onPressure: (full: boolean) => void;
  readonly random?: () => number;
}

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
      onStored: ({ sink, reason }) => {
        options.watcher.deadLettered(sink, reason);
        this.wakeWaiters();
      },
    });
    this.windows = new Windows(clock, config.batching.window, {
      onClose: ({ sink, lane }) => sink.windowClosed(lane),
      onTick: () => this.dispatchAll(),
    });
    this.alarms = new Alarms(clock, ({ sink, lane }) => sink.rested(lane));
    this.sinks = destinations.map((destination) => this.lanesOf(destination));
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

  private lanesOf(destination: Destination): SinkLanes {
    const { config, clock, random } = this.options;
    const { batching, delivery } = config;
    return new SinkLanes({
      destination,
      lot: this.options.lot,
      limits: { maxEvents: batching.max_events, maxBytes: batching.max_bytes },
      window: batching.window,
      leadingEdge: batching.leading_edge,
      policy: {
        quickRetries: delivery.quick_retries,
        maxAttempts: delivery.max_attempts,
        backoff: delivery.backoff,
        parkAfter: delivery.park_after,
        unavailableFor: delivery.unavailable_for,
        longestWait: delivery.breaker.reset_after,
      },
      blocks: delivery.on_dead_letter === 'block',
      limiter: this.limiterOf(destination.name),
      signal: this.abort.signal,
      now: () => clock.now(),
      schedule: (delay, run) => clock.schedule(delay, run),
      random: random ?? Math.random,
      windows: this.windows,
      alarms: this.alarms,
      askVisible: this.options.askVisible,
      onWindow: this.options.watcher.windowWait,
      onDelivered: (sink, events) => {
        this.settle(events);
        this.options.watcher.delivered(sink, events.length, events[0] as Event);
      },
      onParked: (sink, events) => {
        this.settle(events);
        this.options.watcher.parked(sink, events.length);
        this.wakeWaiters();
      },
      reserve: () => this.budget.reserve(2 * batching.max_bytes),
      onRead: (events) => this.budget.take(heldBy(events)),
      onDropped: (events) => this.budget.give(heldBy(events)),
      onRejected: (event, rejection, stored) =>
        this.burial.rejected(event, rejection, () => {
          this.settle([event]);
          stored();
        }),
      onIdle: () => this.wakeWaiters(),
    });
  }

  private limiterOf(name: string): RateLimiter | undefined {
    const { config, clock } = this.options;
    const { rate: sink, organization_rate: organization } = config.sinks[name] ?? {};
    if (sink === undefined && organization === undefined) return undefined;
    return new RateLimiter({ sink, organization }, () => clock.now());
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
