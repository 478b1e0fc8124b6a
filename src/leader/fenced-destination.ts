import type { Batch, Destination, Verdicts } from '../pipeline.ts';
import type { LeaderLock } from './leader-lock.ts';
import { rerouted } from './rerouted.ts';

/**
 * A destination that receives nothing from a process that may no longer lead. When a suspended process resumes, answers and
 * timers of the time before are queued, and the first of them would send the next batch.
 *
 * This asks the lock, in memory. Writes to Postgres have a fence of their own, the epoch: postgres/cursor/fence.ts.
 */
export function fencedDestination(destination: Destination, lock: Pick<LeaderLock, 'isHeld'>): Destination {
  return rerouted(destination, {
    deliver(batch: Batch, signal: AbortSignal): Promise<Verdicts> {
      if (lock.isHeld()) return destination.deliver(batch, signal);
      return Promise.resolve({ kind: 'unavailable', reason: 'not sent: this process is not the leader any more' });
    },
  });
}
