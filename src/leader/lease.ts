import type { Clock } from '../clock.ts';

/** One moment on both clocks. */
export interface Moment {
  readonly now: number;
  readonly wall: number;
}

export function momentOf(clock: Clock): Moment {
  return { now: clock.now(), wall: clock.wallTime() };
}

/**
 * How long the lock is still surely ours, zero or less when it may not be.
 *
 * The server gives the lock up `length` after the last statement that it has answered. Counted from the sending of that
 * statement our time ends first. The clock that never jumps stands still while a machine sleeps, the other one can be
 * set: the longer of the two counts, since a lock that is given up without need costs one connection.
 */
export function leaseLeft(asked: Moment, at: Moment, length: number): number {
  return length - Math.max(at.now - asked.now, at.wall - asked.wall);
}
