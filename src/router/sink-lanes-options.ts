import type { Timer } from '../clock.ts';
import type { Event } from '../event.ts';
import type { Destination, ParkingLot, Verdict } from '../pipeline.ts';
import type { Alarms } from './alarms.ts';
import type { BatchLimits, Lane } from './lane.ts';
import type { RateLimiter } from './rate-limiter.ts';
import type { RetryPolicy } from './trouble.ts';
import type { Windows } from './windows.ts';

/** A lane with its sink, as windows and alarms hold it. */
export interface LaneTurn {
  readonly sink: {
    /** The window of the lane is over. */
    windowClosed(lane: Lane): void;
    /** The wait of a resting lane is over. */
    rested(lane: Lane): void;
  };
  readonly lane: Lane;
}

export interface SinkLanesOptions {
  readonly destination: Destination;
  readonly lot: ParkingLot;
  readonly limits: BatchLimits;
  /** Milliseconds. */
  readonly window: number;
  readonly leadingEdge: boolean;
  readonly policy: RetryPolicy;
  /** A dead letter blocks its lane. */
  readonly blocks: boolean;
  /** Absent when nothing is limited. */
  readonly limiter: RateLimiter | undefined;
  readonly signal: AbortSignal;
  readonly now: () => number;
  readonly schedule: (delay: number, run: () => void) => Timer;
  readonly random: () => number;
  readonly windows: Windows<LaneTurn>;
  readonly alarms: Alarms<LaneTurn>;
  /** A lane wants to send, or to park, what no snapshot has seen yet. */
  readonly askVisible: () => void;
  /** Milliseconds from the opening of a window to the departure of its batch. */
  readonly onWindow: (waited: number) => void;
  /** Delivered, and parked: both settle. */
  readonly onDelivered: (sink: string, events: readonly Event[]) => void;
  readonly onParked: (sink: string, events: readonly Event[]) => void;
  /** Room in memory for a batch that is to be read; undefined when there is none. */
  readonly reserve: () => (() => void) | undefined;
  /** Read from Postgres, and left to it again. */
  readonly onRead: (events: readonly Event[]) => void;
  readonly onDropped: (events: readonly Event[]) => void;
  /** Calls back once the event is a durable dead letter. */
  readonly onRejected: (
    event: Event,
    given: { sink: string; verdict: Verdict; attempts: number; blocks: boolean },
    stored: () => void,
  ) => void;
  /** A batch came back, or nothing is left to do. */
  readonly onIdle: () => void;
}
