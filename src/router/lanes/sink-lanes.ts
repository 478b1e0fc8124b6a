/** All lanes of one sink, as the router sees them: events go in, and people, restarts and full memory act on them. */
import type { Event, Origin } from '../../event.ts';
import type { Lsn } from '../../lsn.ts';
import type { FailingLane, LaneName, LaneRule, PausedPart } from '../../pipeline.ts';
import { blockedLanes, type BlockedLane, free } from './blocking.ts';
import { failingLanes } from './failing-lanes.ts';
import type { Lane, LaneState } from './lane.ts';
import type { LaneMap } from './lane-map.ts';
import { nameOfLane } from './lane-name.ts';
import { endPause, PausedLanes } from './pausing.ts';
import { type Refusal, refusalOf } from './refusal.ts';
import type { SinkLanesOptions } from './sink-lanes-options.ts';
import { SinkScheduler } from './sink-scheduler.ts';

/** A lane of this sink, or all lanes of an organization when it has no name. */
type LanePart = Pick<LaneName, 'organizationId'> & Partial<Pick<LaneName, 'lane'>>;
type LaneOfSink = Pick<LaneName, 'organizationId' | 'lane'>;

export class SinkLanes {
  readonly name: string;
  /** Which lanes an event goes to. */
  readonly rule: LaneRule;
  private readonly options: SinkLanesOptions;
  private readonly scheduler: SinkScheduler;
  private readonly lanes: LaneMap<Lane>;

  constructor(options: SinkLanesOptions) {
    this.options = options;
    this.name = options.destination.name;
    this.rule = options.rule;
    this.scheduler = new SinkScheduler(options);
    this.lanes = this.scheduler.lanes;
  }

  accept(event: Event, name: string): void {
    const { scheduler } = this;
    const lane = scheduler.laneOf(event.organizationId, scheduler.apart?.nameFor(event) ?? name);
    if (lane.finishesBy !== null) lane.finishBy(null); // its destination is there again
    scheduler.add(lane, event);
  }

  /** An event comes back that was given up in the lane `before`: it passes a lane that waits for a person. */
  acceptReturning(event: Event, before: string): void {
    const lane = this.scheduler.laneOf(event.organizationId, this.rule.laneAgain(event, before));
    const { job } = event.origin;
    if (!lane.blocked || job === null) return this.scheduler.add(lane, event);
    lane.blocked.letPass(job);
    lane.leadBy(job);
    lane.push(event);
    if (lane.phase === 'blocked') this.scheduler.due(lane);
  }

  /** The job has no more events: what waited behind it goes on. */
  endJob(job: string): void {
    const { scheduler } = this;
    for (const lane of this.lanes.values()) {
      if (lane.leadingJob !== job) continue;
      scheduler.parking.endLead(lane);
      if (lane.phase === 'idle') scheduler.proceed(lane);
    }
    this.dispatch();
  }

  // ── what an earlier connection left ──────────────────────────────────────────────────────────────────────────────

  /** A dead letter blocks the lane. */
  block({ organizationId, lane: name }: LaneOfSink, awaitingResend: boolean): void {
    if (!this.options.blocks) return;
    const lane = this.scheduler.laneOf(organizationId, name);
    lane.blockBy();
    this.scheduler.parking.restore(lane, awaitingResend);
    if (lane.phase === 'idle') this.scheduler.halt(lane);
  }

  /** Rows are in Postgres; awaitingResend: they may not be read before `resent`. */
  restore({ organizationId, lane: name }: LaneOfSink, awaitingResend = false): void {
    const lane = this.scheduler.laneOf(organizationId, name);
    this.scheduler.parking.restore(lane, awaitingResend);
    if (lane.phase === 'idle' && lane.parked?.awaitingResend !== true) this.scheduler.requeue(lane);
  }

  /** The lane fails. */
  recall(lane: FailingLane): void {
    if (!this.isPaused(lane)) this.scheduler.earlier.add(lane);
  }

  /** The server has sent again what stands before the rows. */
  resent({ organizationId, lane: name }: LaneOfSink): void {
    const lane = this.scheduler.laneOf(organizationId, name);
    this.scheduler.parking.resent(lane);
    if (lane.phase === 'idle') this.scheduler.requeue(lane);
  }

  // ── what people do ───────────────────────────────────────────────────────────────────────────────────────────────

  /** Parked lanes that back off are ready now: those of the part, or all. A lane that is named may be new. */
  wake(part?: LanePart): void {
    for (const lane of this.lanesToWake(part)) {
      if (lane.phase === 'backing_off' && lane.parked) this.scheduler.requeue(lane);
    }
    this.dispatch();
  }

  private lanesToWake(part: LanePart | undefined): Iterable<Lane> {
    if (!part) return this.lanes.values();
    const { organizationId, lane: name } = part;
    if (name === undefined) return this.lanes.ofOrganization(organizationId);
    this.restore({ organizationId, lane: name });
    return [this.scheduler.laneOf(organizationId, name)];
  }

  /** From now on these are paused, and no others. */
  pause(parts: readonly PausedPart[]): void {
    const { scheduler } = this;
    scheduler.paused = new PausedLanes(this.name, parts, this.rule);
    for (const lane of this.lanes.values()) this.holdOrFree(lane);
    this.dispatch();
  }

  /** The rule of the sink pauses this lane, or does not any more; or any lane. */
  pauseChanged(one?: LaneOfSink): void {
    const lane = one && this.lanes.get(one.organizationId, one.lane);
    for (const each of one ? (lane ? [lane] : []) : this.lanes.values()) this.holdOrFree(each);
    this.dispatch();
  }

  private holdOrFree(lane: Lane): void {
    const { scheduler } = this;
    const isPaused = scheduler.paused.has(lane.organizationId, lane.name);
    if (isPaused && !lane.paused) scheduler.hold(lane);
    else if (!isPaused && lane.paused && endPause(lane)) scheduler.requeue(lane);
  }

  /** The destination of this lane ended at that place of the stream: see ending.ts. */
  end({ organizationId, lane }: LaneOfSink, given: { readonly at: Lsn; readonly dropped: () => void }): void {
    this.scheduler.end(organizationId, lane, given);
    this.dispatch();
  }

  has({ organizationId, lane }: LaneOfSink): boolean {
    return this.lanes.get(organizationId, lane) !== undefined;
  }

  isPaused({ organizationId, lane }: LaneOfSink): boolean {
    return this.scheduler.paused.has(organizationId, lane);
  }

  get blocked(): readonly BlockedLane[] {
    return blockedLanes(this.name, this.lanes.values());
  }

  /** No dead letter blocks the lane any more. */
  unblock(blocked: BlockedLane): void {
    if (free(blocked) && blocked.held.phase === 'blocked') this.scheduler.due(blocked.held);
  }

  // ── what the router does ─────────────────────────────────────────────────────────────────────────────────────────

  /** A snapshot saw more transactions. */
  seen(): void {
    this.scheduler.seen();
  }

  /** Parks every lane whose oldest event, which is its first, has waited for `parkAfter` milliseconds. */
  parkOverdue(parkAfter: number): void {
    const latest = this.options.clock.now() - parkAfter;
    this.lanes.forEach((lane) => {
      const first = lane.first;
      if (!first || first.parkedId !== null || first.origin.receivedAt > latest) return;
      if (lane.phase !== 'gathering' && lane.mayPark) this.scheduler.parking.park(lane);
    });
    this.dispatch();
  }

  /** Parks the lane because it holds too much; it is read back as soon as it has its turn. */
  parkLoad(lane: Lane): void {
    if (lane.mayPark) this.scheduler.parking.park(lane);
  }

  drain(): void {
    this.scheduler.drain();
  }

  dispatch(): void {
    this.scheduler.sending.dispatch();
  }

  close(): void {
    this.scheduler.close();
  }

  // ── how it stands ────────────────────────────────────────────────────────────────────────────────────────────────

  /** The lane that has an event of this origin in front, or with the destination since `sentAt`. */
  laneAt(origin: Origin): { readonly lane: Lane; readonly sentAt: number | null } | undefined {
    const sent = this.scheduler.sending.sentOf(origin);
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

  all(): Iterable<Lane> {
    return this.lanes.values();
  }

  /** Nothing is left in memory that could be sent without waiting for a destination to recover. */
  get drained(): boolean {
    return this.scheduler.sending.idle && !this.scheduler.awaitsVisible;
  }

  get laneCount(): number {
    return this.lanes.size;
  }

  countLanes(counts: Record<LaneState, number>): void {
    this.lanes.forEach((lane) => void (counts[lane.state] += 1));
  }

  /** The lanes whose destination refuses everything that they send, at most `most` of them. */
  refusals(most: number): readonly Refusal[] {
    const found: Refusal[] = [];
    for (const lane of this.lanes.values()) {
      if (found.length >= most) break;
      const probing = lane.failure?.probing;
      if (probing && lane.refuses && !lane.paused) found.push(refusalOf(nameOfLane(this.name, lane), probing));
    }
    return found;
  }

  get failing(): Iterable<FailingLane> {
    const { earlier, paused } = this.scheduler;
    const failing = failingLanes(this.name, this.lanes.values(), paused);
    const isHeld = (lane: FailingLane): boolean =>
      this.lanes.get(lane.organizationId, lane.lane) !== undefined && !this.isPaused(lane);
    return earlier.with(failing, isHeld);
  }

  get inFlight(): number {
    return this.scheduler.sending.inFlight;
  }

  get openWindows(): number {
    return this.scheduler.openWindows;
  }
}
