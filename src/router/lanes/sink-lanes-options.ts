import type { Clock } from '../../clock.ts';
import type { Destination, LaneRule, ParkingLot } from '../../pipeline.ts';
import type { TimerHeap } from '../timing/timer-heap.ts';
import type { Lane } from './lane.ts';
import type { BatchingMode } from './departure.ts';
import type { Expiry } from './expiry.ts';
import type { BatchLimits } from './lane-queue.ts';
import type { Order } from './lane-rule.ts';
import type { RateLimiter } from '../timing/rate-limiter.ts';
import type { RouterOptions, RouterWatcher } from '../router-options.ts';
import type { SinkAccounts } from './sink-accounts.ts';
import type { RetryPolicy } from './failure-policy.ts';

/** A lane with its sink, as timers hold it. */
export interface LaneTurn {
  readonly sink: {
    /** The wait of a resting lane is over. */
    rested(lane: Lane): void;
  };
  readonly lane: Lane;
}

/** What lanes report of themselves. */
export type LaneWatcher = Pick<RouterWatcher, 'refusing' | 'refusingOver' | 'windowWait'>;

export interface SinkLanesOptions {
  readonly destination: Destination;
  readonly rule: LaneRule;
  readonly order: Order;
  readonly lot: ParkingLot;
  readonly limits: BatchLimits;
  /** Milliseconds. */
  readonly window: number;
  readonly mode: BatchingMode;
  /** Absent when no event is ever too old. */
  readonly expiry: Expiry;
  readonly policy: RetryPolicy;
  /** A dead letter blocks its lane. */
  readonly blocks: boolean;
  /** Absent when nothing is limited. */
  readonly limiter: RateLimiter | undefined;
  readonly signal: AbortSignal;
  /** Aborted on a fault of walpost itself. */
  readonly failure: RouterOptions['failure'];
  readonly clock: Clock;
  readonly random: () => number;
  readonly timers: TimerHeap<LaneTurn>;
  readonly accounts: SinkAccounts;
  readonly watcher: LaneWatcher;
  /** A lane wants to send, or to park, what no snapshot has seen yet. */
  readonly askVisible: () => void;
  /** A batch came back, or nothing is left to do. */
  readonly onIdle: () => void;
}
