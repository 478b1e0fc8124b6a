import type { LaneName } from '../../pipeline.ts';

/** The one place where the router names a lane. */
export function nameOfLane(sink: string, lane: { readonly organizationId: string; readonly name: string }): LaneName {
  return { sink, organizationId: lane.organizationId, lane: lane.name };
}
