/**
 * Lanes that wait for a person: a dead letter blocks them (`delivery.on_dead_letter: block`), or they are paused (pausing.ts).
 *
 * A dead letter is settled like any other, so the slot moves on; but its lane stays where it is, and what comes later is
 * parked behind it. It goes on when no dead letter of the lane blocks it any more: each was redriven or discarded, which
 * the table tells, here and after a restart. Only a redrive passes: its events go ahead of what is parked, and one that
 * fails again is a dead letter that blocks again.
 */
import type { LaneName } from '../../pipeline.ts';
import type { Lane } from './lane.ts';
import { nameOfLane } from './lane-name.ts';
import type { LaneParking } from './parking.ts';

/** A lane whose dead letters were all stored when the table was asked. */
export interface BlockedLane extends LaneName {
  readonly held: Lane;
  readonly letters: number;
}

/** What the lane holds goes to Postgres, as will what comes later. */
export function halt(lane: Lane, parking: LaneParking): void {
  lane.enter('blocked');
  if (!lane.isPassing) lane.endLead();
  parking.restore(lane, false);
  if (lane.length > 0) parking.park(lane);
}

export function blockedLanes(sink: string, lanes: Iterable<Lane>): BlockedLane[] {
  const found: BlockedLane[] = [];
  for (const lane of lanes) {
    if (lane.blocked?.isStored !== true) continue;
    found.push({ ...nameOfLane(sink, lane), held: lane, letters: lane.blocked.letters });
  }
  return found;
}

/** Frees the lane, unless another dead letter has come to hold it since it was asked about. */
export function free({ held, letters }: BlockedLane): boolean {
  if (held.blocked?.letters !== letters) return false;
  held.unblock();
  return true;
}
