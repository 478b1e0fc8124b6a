/**
 * The router: puts each event into its lanes at each sink its routes name, nearly always one lane of its organization, and
 * takes care that a lane's events leave in windows, in order, when they may be seen.
 *
 * It belongs to one connection. When the connection ends, what it holds is let go: none of it is confirmed, so the slot
 * sends it again.
 */
import { setMaxListeners } from 'node:events';
import type { Timer } from '../clock.ts';
import type { Event, Origin, Poison } from '../event.ts';
import type { Lsn } from '../lsn.ts';
import { type FailingLane, type LaneName, OWN_LANE, type ParkedLane, type PausedPart } from '../pipeline.ts';
import { TimerHeap } from './timing/timer-heap.ts';
import { DeadLetterWriter } from './lanes/dead-letters.ts';
import { LaneCount, type LaneCounts } from './lanes/lane-count.ts';
import { nameOfLane } from './lanes/lane-name.ts';
import type { Phase } from './lanes/phases.ts';
import type { BlockedLane } from './lanes/blocking.ts';
import { ENDPOINT_TEST_TYPE, isSentWhereNamed } from '../reserved.ts';
import { MemoryBudget, takenBy } from './memory-budget.ts';
import type { Refusal } from './lanes/refusal.ts';
import { shedMemory } from './memory-pressure.ts';
import { RouteTable } from './route-table.ts';
import type { RouterOptions } from './router-options.ts';
import { ResendBarrier } from './lanes/resend-barrier.ts';
import type { SinkLanes } from './lanes/sink-lanes.ts';
import type { LaneTurn } from './lanes/sink-lanes-options.ts';
import { lanesOf } from './lanes/sink-wiring.ts';

export interface RouterState {
  readonly lanes: LaneCounts;
  /** Some of the lanes that are refusing. */
  readonly refusals: readonly Refusal[];
  readonly inFlight: Readonly<Record<string, number>>;
  readonly bufferedBytes: number;
  readonly openWindows: number;
}

/** What a lane with unsettled events waits for. */
export interface WaitingFront extends LaneName {
  readonly phase: Phase;
  /** Why its first event was not accepted; null when it was not refused. */
  readonly reason: string | null;
  /** Since when the destination has its batch, on the clock that never jumps; null when it has none. */
  readonly sentAt: number | null;
}

/** Of the sinks that the routes name only these, and of their lanes only these; all when they are left out. */
export interface JobTargets {
  readonly sinks?: readonly string[];
  readonly lanes?: readonly string[];
}

/** Maximum of refusing lanes that are reported. */
const MOST_REFUSALS = 20;
/** How often lanes are looked through. */
const PATROL_MS = 500;

export class Router {
  private readonly options: RouterOptions;
  private readonly routes: RouteTable;
  private readonly budget: MemoryBudget;
  private readonly timers: TimerHeap<LaneTurn>;
  private readonly sinks: readonly SinkLanes[];
  private readonly laneCount: LaneCount;
  private readonly abort = new AbortController();
  private idleWaiters: (() => void)[] = [];
  private readonly deadLetterWriter: DeadLetterWriter;
  private readonly resendBarrier = new ResendBarrier();
  /** Sinks whose lanes have destinations of their own: they know of which of them a test is. */
  private readonly ownDestinations: readonly number[];
  private patrolTimer: Timer | undefined;
  /** The lanes of the event that is put now, by its targets; kept, so that no event costs an array. */
  private readonly chosen: (readonly string[])[] = [];

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
      if (full) shedMemory(this.sinks, config.memory.budget);
    });
    this.deadLetterWriter = new DeadLetterWriter({
      office: options.deadLetters,
      budget: this.budget,
      onStored: (letter) => {
        options.watcher.deadLettered(letter);
        this.wakeWaiters();
      },
    });
    this.timers = new TimerHeap(clock, ({ sink, lane }) => sink.rested(lane));
    const parts = {
      ...options,
      timers: this.timers,
      budget: this.budget,
      deadLetterWriter: this.deadLetterWriter,
      signal: this.abort.signal,
      onIdle: () => this.wakeWaiters(),
    };
    this.sinks = destinations.map((destination) => lanesOf(destination, parts));
    this.laneCount = new LaneCount(this.sinks, clock);
    this.ownDestinations = this.sinks.flatMap(({ rule }, index) => (rule.ownDestinations === true ? index : []));
    this.patrol();
  }

  /** Puts the event into its lanes. */
  accept(event: Event): void {
    const isTest = event.eventType === ENDPOINT_TEST_TYPE && !this.options.isMapped;
    const targets = isTest ? this.ownDestinations : this.routes.sinksFor(event);
    if (targets.length === 0) this.acceptUnrouted(event);
    else this.put(event, targets);
  }

  /** An event of a job: into the lanes of `only`, when given, among the sinks that its routes name. */
  acceptOfJob(event: Event, only: JobTargets = {}): readonly string[] | null {
    const routed = this.routes.sinksFor(event);
    if (routed.length === 0) return null;
    const { sinks, lanes } = only;
    const nameOf = (index: number): string => (this.sinks[index] as SinkLanes).name;
    const targets = sinks ? routed.filter((index) => sinks.includes(nameOf(index))) : routed;
    this.put(event, targets, lanes);
    return targets.filter((_target, place) => (this.chosen[place]?.length ?? 0) > 0).map(nameOf);
  }

  /** All is expected before the first lane has the event. */
  private put(event: Event, targets: readonly number[], only?: readonly string[]): void {
    const { sinks, chosen } = this;
    let count = 0;
    for (let i = 0; i < targets.length; i += 1) {
      const wanting = (sinks[targets[i] as number] as SinkLanes).rule.lanesFor(event);
      const names = only === undefined ? wanting : wanting.filter((name) => only.includes(name));
      chosen[i] = names;
      count += names.length;
    }
    if (count === 0) return;
    event.origin.expect(count);
    this.budget.take(takenBy(event, count));
    for (let i = 0; i < targets.length; i += 1) {
      const sink = sinks[targets[i] as number] as SinkLanes;
      for (const name of chosen[i] as readonly string[]) sink.accept(event, name);
    }
  }

  /**
   * Puts the event into one lane at one sink, whatever its routes name by now; `lane`: the one that it was given up in. Without
   * effect when there is no such sink.
   */
  acceptAt(event: Event, name: string, lane: string = OWN_LANE): void {
    const sink = this.sinkNamed(name);
    if (!sink) return;
    event.origin.expect(1);
    this.budget.take(takenBy(event, 1));
    sink.acceptReturning(event, lane);
  }

  /** The job has sent its last event: lanes that it led go on with what waited after it. */
  endJob(job: string): void {
    for (const sink of this.sinks) sink.endJob(job);
  }

  /** Takes up the lanes that an earlier connection left parked, blocked by a dead letter, or failing. Before the first event. */
  restore(
    parked: readonly ParkedLane[],
    blocked: readonly LaneName[] = [],
    failing: readonly FailingLane[] = [],
  ): void {
    for (const lane of failing) this.sinkNamed(lane.sink)?.recall(lane);
    const awaitingResend = new Set(parked.filter(({ redeliveredUntil }) => redeliveredUntil !== null).map(laneKey));
    for (const lane of blocked) this.sinkNamed(lane.sink)?.block(lane, awaitingResend.has(laneKey(lane)));
    for (const lane of parked) this.sinkNamed(lane.sink)?.restore(lane, lane.redeliveredUntil !== null);
    this.resendBarrier.await(parked);
    this.dispatchAll();
  }

  /** Everything that was committed before this position has been taken in. */
  passed(lsn: Lsn): void {
    const lanes = this.resendBarrier.passed(lsn);
    for (const lane of lanes) this.sinkNamed(lane.sink)?.resent(lane);
    if (lanes.length > 0) this.dispatchAll();
  }

  /** Parked lanes that rest are due now: those of one sink, of one organization, or one lane, which may be new. */
  wake({ sink, organizationId, lane }: Partial<LaneName> = {}): void {
    const part = organizationId === undefined ? undefined : { organizationId, ...(lane !== undefined && { lane }) };
    for (const each of this.sinks) if (sink === undefined || each.name === sink) each.wake(part);
  }

  /** From now on nothing is sent to these, and to no others: what they get is parked. Before `restore`, and whenever it changes. */
  pause(parts: readonly PausedPart[]): void {
    for (const sink of this.sinks) sink.pause(parts);
  }

  /** The rule of the sink pauses this lane, or does not any more; or others of its lanes, when none is named. */
  pauseChanged({ sink, organizationId, lane }: Pick<LaneName, 'sink'> & Partial<LaneName>): void {
    const one = organizationId === undefined || lane === undefined ? undefined : { organizationId, lane };
    this.sinkNamed(sink)?.pauseChanged(one);
  }

  /** The destination of this lane ended at that place. `dropped` is called once nothing is stored of what it waits for in vain. */
  endLane(lane: LaneName, given: { readonly at: Lsn; readonly dropped: () => void }): void {
    const sink = this.sinkNamed(lane.sink);
    if (sink) sink.end(lane, given);
    else given.dropped();
  }

  /** Something is under way to this lane, or is parked. */
  hasLane(lane: LaneName): boolean {
    return this.sinkNamed(lane.sink)?.has(lane) === true;
  }

  isPaused(lane: LaneName): boolean {
    return this.sinkNamed(lane.sink)?.isPaused(lane) === true;
  }

  /** Lanes that wait for a person, and whose dead letters are all stored. */
  blocked(): readonly BlockedLane[] {
    return this.sinks.flatMap((sink) => sink.blocked);
  }

  /** Lanes whose first event was not accepted. */
  *failing(): Generator<FailingLane> {
    for (const sink of this.sinks) yield* sink.failing;
  }

  /** `still`: the lanes that the table still blocks. All others of `asked`, which `blocked` had returned, go on. */
  unblock(asked: readonly BlockedLane[], still: readonly LaneName[]): void {
    const held = new Set(still.map(laneKey));
    for (const lane of asked) if (!held.has(laneKey(lane))) this.sinkNamed(lane.sink)?.unblock(lane);
  }

  /** A row that cannot become an event is stored for a person, like an event that no one wants. */
  acceptPoison(poison: Poison): void {
    this.deadLetterWriter.poison(poison);
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
    this.timers.close();
    this.patrolTimer?.cancel();
    while (this.sinks.some((sink) => sink.inFlight > 0)) {
      await new Promise<void>((resolve) => this.idleWaiters.push(resolve));
    }
  }

  /** @param numbersOnly without looking at each of many lanes: counts that are some seconds old, and no refusals */
  state(numbersOnly = false): RouterState {
    const lanes = numbersOnly ? this.laneCount.recent() : this.laneCount.exact();
    const inFlight = Object.fromEntries(this.sinks.map((sink) => [sink.name, sink.inFlight]));
    const refusing = numbersOnly ? [] : this.sinks;
    const refusals = refusing.flatMap((sink) => sink.refusals(MOST_REFUSALS)).slice(0, MOST_REFUSALS);
    const openWindows = this.sinks.reduce((sum, sink) => sum + sink.openWindows, 0);
    return { lanes, refusals, inFlight, bufferedBytes: this.budget.used, openWindows };
  }

  /** The lane that keeps this transaction: one whose batch is on its way first. For people, so it may look through all lanes. */
  laneAt(origin: Origin): WaitingFront | undefined {
    const found = this.sinks.flatMap((sink) => {
      const { lane, sentAt } = sink.laneAt(origin) ?? {};
      if (!lane || sentAt === undefined) return [];
      const { phase, failure, lastFailure } = lane;
      const reason = failure ? (lastFailure?.reason ?? null) : null;
      return [{ ...nameOfLane(sink.name, lane), phase, reason, sentAt }];
    });
    return found.find(({ sentAt }) => sentAt !== null) ?? found[0];
  }

  private sinkNamed(name: string): SinkLanes | undefined {
    return this.sinks.find((sink) => sink.name === name);
  }

  private get drained(): boolean {
    return this.deadLetterWriter.underWay === 0 && this.sinks.every((sink) => sink.drained);
  }

  /** An event that no route matches. */
  acceptUnrouted(event: Event): void {
    if (isSentWhereNamed(event.eventType) && !this.options.isMapped) return;
    if (this.options.config.delivery.unrouted === 'drop') this.options.watcher.dropped();
    else this.deadLetterWriter.unrouted(event);
  }

  /** Looks through the lanes now and then for events that have waited too long. */
  private patrol(): void {
    const { config, clock } = this.options;
    const parkAfter = config.delivery.park_after;
    this.patrolTimer = clock.schedule(Math.min(PATROL_MS, parkAfter / 4), () => {
      for (const sink of this.sinks) sink.parkOverdue(parkAfter);
      this.laneCount.keepRecent();
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

function laneKey({ sink, organizationId, lane }: LaneName): string {
  return JSON.stringify([sink, organizationId, lane]);
}
