/**
 * Lanes that a person has paused: nothing of them is sent, and all of it is parked, in order, so the slot moves on. A batch
 * in flight is let finish. A pause is not a failure: what a lane knows of one ends with it.
 *
 * A redrive that passes a blocked lane cannot be parked, since its events go ahead of the rows. Its events stay dead letters.
 */
import type { LaneRule, PausedPart, Verdict } from '../../pipeline.ts';
import type { Lane } from './lane.ts';
import { LaneMap } from './lane-map.ts';

/** Which organizations of one sink, and which single lanes, are paused: by people, or by the rule of the sink. */
export class PausedLanes {
  private readonly whole: boolean;
  private readonly organizations: ReadonlySet<string>;
  private readonly lanes = new LaneMap<true>();

  private readonly rule: LaneRule | undefined;

  constructor(sink: string, parts: readonly PausedPart[] = [], rule?: LaneRule) {
    this.rule = rule;
    const own = parts.filter((part) => part.sink === sink);
    this.whole = own.some(({ organizationId }) => organizationId === null);
    this.organizations = new Set(
      own.flatMap(({ organizationId, lane }) => (lane === undefined && organizationId !== null ? organizationId : [])),
    );
    for (const { organizationId, lane } of own) {
      if (organizationId !== null && lane !== undefined) this.lanes.set(organizationId, lane, true);
    }
  }

  has(organizationId: string, name: string): boolean {
    if (this.whole || this.organizations.has(organizationId)) return true;
    if (this.rule?.isPaused?.(name) === true) return true;
    return this.lanes.size > 0 && this.lanes.get(organizationId, name) === true;
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
