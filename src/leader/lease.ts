import type { Clock } from '../clock.ts';

/** One moment on both clocks. */
export interface LeaseTime {
  readonly now: number;
  readonly wall: number;
}

export function leaseTimeOf(clock: Clock): LeaseTime {
  return { now: clock.now(), wall: clock.wallTime() };
}

/**
 * Milliseconds for which the lock is certainly held; zero or less when it may be lost.
 *
 * The server releases the lock `length` after the last statement that it has answered. This side counts from when it sent that
 * statement, so its time ends first. The monotonic clock stops while a machine sleeps, and the wall clock can be set. The
 * larger of the two counts, because a lock that is given up without need costs only one connection.
 */
export function leaseLeft(askedAt: LeaseTime, at: LeaseTime, length: number): number {
  return length - Math.max(at.now - askedAt.now, at.wall - askedAt.wall);
}
