import type { Clock } from '../../clock.ts';
import type { FailingLane } from '../../pipeline.ts';
import type { Lane } from './lane.ts';
import { LaneMap } from './lane-map.ts';

/** A lane that has not come back by then has nothing left: its events were discarded, or delivered just before the end. */
const FORGET_AFTER_MS = 60_000;

/**
 * The lanes of one sink that failed when the last connection ended, as walpost.lanes has them. The number of an attempt, and
 * the time since when a lane fails, go on from there until something of the lane settles.
 */
export class EarlierFailures {
  private readonly clock: Clock;
  private readonly lanes = new LaneMap<FailingLane>();
  private until = 0;

  constructor(clock: Clock) {
    this.clock = clock;
  }

  add(lane: FailingLane): void {
    this.lanes.set(lane.organizationId, lane.lane, lane);
    this.until = this.clock.now() + FORGET_AFTER_MS;
  }

  /** Attempts before this connection. */
  attempts({ organizationId, name }: Lane): number {
    return this.lanes.size === 0 ? 0 : (this.lanes.get(organizationId, name)?.attempts ?? 0);
  }

  /** Something of the lane was delivered, or became a dead letter. */
  settled({ organizationId, name }: Lane): void {
    if (this.lanes.size > 0) this.lanes.delete(organizationId, name);
  }

  /** What fails in all: the lanes that fail now, and those that were not tried again yet. */
  *with(failing: Iterable<FailingLane>, isHeld: (lane: FailingLane) => boolean): Generator<FailingLane> {
    if (this.lanes.size === 0) return yield* failing;
    const now = new Set<FailingLane>();
    for (const lane of failing) {
      const before = this.lanes.get(lane.organizationId, lane.lane);
      if (before) now.add(before);
      yield before ? { ...lane, since: before.since, attempts: before.attempts + lane.attempts } : lane;
    }
    const forgets = this.clock.now() >= this.until;
    for (const lane of this.lanes.values()) {
      if (now.has(lane)) continue;
      if (forgets && !isHeld(lane)) this.lanes.delete(lane.organizationId, lane.lane);
      else yield lane;
    }
  }
}
