/**
 * How many lanes are in each state. Looking at a hundred thousand lanes takes some 25 ms, in which no event moves; a scrape
 * that did it would take most of its time for that. So many are counted now and then, and a scrape shows the last count.
 */
import type { Clock } from '../../clock.ts';
import type { LaneState } from './lane.ts';
import type { SinkLanes } from './sink-lanes.ts';

export type LaneCounts = Readonly<Record<LaneState, number>>;

/** Up to here a count takes 2 ms and is made whenever somebody asks. */
const FEW = 10_000;
/** How old the count of many may be, in milliseconds. */
const MAX_AGE = 5_000;

export class LaneCount {
  private readonly sinks: readonly SinkLanes[];
  private readonly clock: Clock;
  private last: { readonly counts: LaneCounts; readonly at: number } | undefined;

  constructor(sinks: readonly SinkLanes[], clock: Clock) {
    this.sinks = sinks;
    this.clock = clock;
  }

  /** Looks at every lane. */
  exact(): LaneCounts {
    const counts: Record<LaneState, number> = {
      gathering: 0,
      ready: 0,
      awaiting_visibility: 0,
      awaiting_dead_letters: 0,
      reading: 0,
      sending: 0,
      backing_off: 0,
      idle: 0,
      blocked: 0,
      paused: 0,
      parked: 0,
      refusing: 0,
    };
    for (const sink of this.sinks) sink.countLanes(counts);
    return counts;
  }

  /** Exact with few lanes; with many, as `keepRecent` last counted them. */
  recent(): LaneCounts {
    return this.last?.counts ?? this.exact();
  }

  /** Counts many lanes again when the last count is too old. Called often. */
  keepRecent(): void {
    const lanes = this.sinks.reduce((sum, sink) => sum + sink.laneCount, 0);
    if (lanes <= FEW) {
      this.last = undefined;
      return;
    }
    const at = this.clock.now();
    if (!this.last || at - this.last.at >= MAX_AGE) this.last = { counts: this.exact(), at };
  }
}
