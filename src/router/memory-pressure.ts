/**
 * What to do when memory is full: organizations over their share are parked for load, the heaviest of their lanes first, and
 * so are those of a sink over its share, so that the others go on. Where there are no others, the slot just waits: parking
 * would only be a detour.
 */
import type { Lane } from './lanes/lane.ts';
import type { SinkLanes } from './lanes/sink-lanes.ts';

/** An organization may hold this part of the budget at a sink. */
const SHARE = 8;

interface LaneLoad {
  readonly lane: Lane;
  readonly held: number;
}

/** What one organization holds at a sink. */
interface Load {
  held: number;
  readonly lanes: LaneLoad[];
}

export function shedMemory(sinks: readonly SinkLanes[], budget: number): void {
  const share = budget / SHARE;
  for (const sink of sinks) {
    const loads = loadsOf(sink);
    const [first] = loads;
    if (sinks.length === 1 && loads.length === 1 && first) shedLanes(sink, first, share);
    else for (const load of loads) shed(sink, load, load.held - share);
  }
  if (sinks.length < 2) return;
  for (const sink of sinks) {
    let excess = sink.held - budget / sinks.length;
    for (const load of excess > 0 ? loadsOf(sink) : []) excess = shed(sink, load, excess);
  }
}

/** Nobody else is here: only a lane that holds up others of its organization is parked. */
function shedLanes(sink: SinkLanes, { lanes }: Load, share: number): void {
  if (lanes.length < 2) return;
  for (const { lane, held } of lanes) if (held > share) sink.parkLoad(lane);
}

/** Parks lanes until so much is gone; returns what is still too much. */
function shed(sink: SinkLanes, { lanes }: Load, tooMuch: number): number {
  let excess = tooMuch;
  for (const { lane, held } of lanes.sort(byHeld)) {
    if (excess <= 0 || held === 0) break;
    excess -= held;
    sink.parkLoad(lane);
  }
  return excess;
}

/** By organization, the heaviest first. */
function loadsOf(sink: SinkLanes): Load[] {
  const loads = new Map<string, Load>();
  for (const lane of sink.all()) {
    const { held } = lane;
    const load = loads.get(lane.organizationId);
    if (!load) loads.set(lane.organizationId, { held, lanes: [{ lane, held }] });
    else {
      load.held += held;
      load.lanes.push({ lane, held });
    }
  }
  return [...loads.values()].sort(byHeld);
}

function byHeld(one: { readonly held: number }, other: { readonly held: number }): number {
  return other.held - one.held;
}
