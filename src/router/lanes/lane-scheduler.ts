import type { Lane } from './lane.ts';

/** Who decides what a lane does next: the lanes of one sink. */
export interface LaneScheduler {
  /** The lane goes on with what is next: another batch, a window, or nothing. */
  proceed(lane: Lane): void;
  /** It stands in the queue for a turn. */
  requeue(lane: Lane): void;
  /** It is ready again after that many milliseconds. */
  backOff(lane: Lane, delay: number): void;
  /** It goes on when a snapshot sees more. */
  awaitVisible(lane: Lane): void;
  /** Something that kept the lane is done: it goes on, or is let go of when nothing of it is left. */
  release(lane: Lane): void;
  /** It ended while it delivered, and delivers no more: what is left of it is for nobody. */
  drop(lane: Lane): void;
  /** Opens a window; returns when it closes. */
  openWindow(lane: Lane): number;
}
