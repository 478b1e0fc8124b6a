/**
 * Lanes that wait for a person (`delivery.on_dead_letter: block`).
 *
 * A dead letter is settled like any other, so the slot moves on; but its lane stays where it is, and what comes later is
 * parked behind it. It goes on when no dead letter of the lane blocks it any more: each was redriven or discarded, which
 * the table tells, here and after a restart. Only a redrive passes: its events go ahead of what is parked, and one that
 * fails again is a dead letter that blocks again.
 */
import type { LaneName } from '../pipeline.ts';
import type { Block, Lane } from './lane.ts';
import type { LaneParking } from './lane-parking.ts';

/** A lane whose dead letters were all stored when the table was asked. */
export interface BlockedLane extends LaneName {
  readonly lane: Lane;
  readonly letters: number;
}

/** One more dead letter holds the lane; call the returned function once it is stored. */
export function blockLane(lane: Lane): () => void {
  const block = (lane.blocked ??= newBlock());
  block.letters += 1;
  block.storing += 1;
  return () => void (block.storing -= 1);
}

export function newBlock(): Block {
  return { letters: 0, storing: 0, passing: null };
}

/** Whether the lane has to stand still now. */
export function standsStill({ blocked, first }: Lane): boolean {
  return blocked !== null && (blocked.passing === null || first?.origin.job !== blocked.passing);
}

/** What the lane holds goes to Postgres, as will what comes later. */
export function halt(lane: Lane, parking: LaneParking): void {
  lane.phase = 'blocked';
  if (lane.heldBy !== lane.blocked?.passing) lane.heldBy = null;
  parking.restore(lane, false);
  if (lane.length > 0) parking.park(lane);
}

export function blockedLanes(sink: string, lanes: Iterable<Lane>): BlockedLane[] {
  const found: BlockedLane[] = [];
  for (const lane of lanes) {
    if (lane.blocked?.storing !== 0) continue;
    found.push({ sink, organizationId: lane.organizationId, lane, letters: lane.blocked.letters });
  }
  return found;
}

/** Frees the lane, unless another dead letter has come to hold it since it was asked about. */
export function free({ lane, letters }: BlockedLane): boolean {
  if (lane.blocked?.letters !== letters) return false;
  lane.blocked = null;
  return true;
}
