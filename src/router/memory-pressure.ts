/**
 * What to do when memory is full: lanes over their share are parked for load, and so are those of a sink over its share,
 * so that the others go on. Where there are no others, the slot just waits: parking would only be a detour.
 */
import { heaviest } from './lanes/parking.ts';
import type { SinkLanes } from './lanes/sink-lanes.ts';

/** A lane may hold this part of the budget. */
const LANE_SHARE = 8;

export function shedMemory(sinks: readonly SinkLanes[], budget: number): void {
  for (const sink of sinks) {
    if (sinks.length === 1 && sink.lanesHeld < 2) continue;
    for (const lane of heaviest(sink.all(), budget / LANE_SHARE)) sink.parkLoad(lane);
  }
  if (sinks.length < 2) return;
  for (const sink of sinks) {
    let excess = sink.held - budget / sinks.length;
    for (const lane of excess > 0 ? heaviest(sink.all(), 0) : []) {
      if (excess <= 0) break;
      excess -= lane.held;
      sink.parkLoad(lane);
    }
  }
}
