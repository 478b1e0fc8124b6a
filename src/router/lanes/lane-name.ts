import { type LaneName, OWN_LANE } from '../../pipeline.ts';

/** The one place where the router names a lane. */
export function nameOfLane(sink: string, { organizationId }: { readonly organizationId: string }): LaneName {
  return { sink, organizationId, lane: OWN_LANE };
}
