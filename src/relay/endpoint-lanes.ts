/** What a change of an endpoint does to its lane in the router. */
import type { EndpointLanes } from '../endpoints/feed.ts';
import { LSN_ZERO } from '../lsn.ts';
import type { Router } from '../router/router.ts';
import { type EndpointService, laneOf } from './endpoint-service.ts';

export function endpointLanes(
  endpoints: EndpointService,
  router: Pick<Router, 'pauseChanged' | 'endLane'>,
): EndpointLanes {
  return {
    paused: (endpoint) => router.pauseChanged(laneOf(endpoint)),
    ended: (endpoint, { origin }, dropped) => {
      const at = origin.commitLsn ?? LSN_ZERO;
      endpoints.leaves(endpoint, at);
      router.endLane(laneOf(endpoint), { at, dropped });
    },
  };
}
