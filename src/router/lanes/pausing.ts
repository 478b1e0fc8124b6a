/**
 * Lanes that a person has paused: nothing of them is sent, and all of it is parked, in order, so the slot moves on. A batch
 * in flight is let finish. A pause is not a failure: what a lane knows of one ends with it.
 *
 * A redrive that passes a blocked lane cannot be parked, since its events go ahead of the rows. Its events stay dead letters.
 */
import type { PausedPart, Verdict } from '../../pipeline.ts';
import type { Lane } from './lane.ts';

/** Which organizations of one sink are paused. */
export class PausedLanes {
  private readonly whole: boolean;
  private readonly organizations: ReadonlySet<string>;

  constructor(sink: string, parts: readonly PausedPart[] = []) {
    const own = parts.filter((part) => part.sink === sink);
    this.whole = own.some(({ organizationId }) => organizationId === null);
    this.organizations = new Set(own.flatMap(({ organizationId }) => organizationId ?? []));
  }

  has(organizationId: string): boolean {
    return this.whole || this.organizations.has(organizationId);
  }
}

/** Why an event of a redrive is a dead letter again. */
export const REDRIVEN_INTO_PAUSE: Verdict = {
  kind: 'unavailable',
  reason: 'it was redriven while its sink was paused; nothing was sent',
  code: 'PAUSED',
};

/** Whether a lane that was held may go on now; the failure from before the pause says nothing of the destination any more. */
export function endPause(lane: Lane): boolean {
  lane.setPaused(false);
  if (lane.phase !== 'blocked' || lane.standsStill) return false;
  lane.setFailure(null);
  return true;
}
