/** What a change of an endpoint does to its lane in the router. */
import type { KnownEndpoint } from '../endpoints/directory.ts';
import type { EndpointLanes } from '../endpoints/feed.ts';
import { LSN_ZERO } from '../lsn.ts';
import type { LaneName } from '../pipeline.ts';
import type { Router } from '../router/router.ts';
import type { EndpointService } from './endpoint-service.ts';

export function endpointLanes(endpoints: EndpointService, router: Router): EndpointLanes {
  return {
    paused: (endpoint) => router.pauseChanged(laneOf(endpoint)),
    ended: (endpoint, { origin }, dropped) => {
      endpoints.leaves(endpoint);
      router.endLane(laneOf(endpoint), { at: origin.commitLsn ?? LSN_ZERO, dropped });
    },
  };
}

function laneOf({ sink, organizationId, endpointId }: KnownEndpoint): LaneName {
  return { sink, organizationId, lane: endpointId };
}
