/** What a change of an endpoint does to its lane in the router. */
import type { KnownEndpoint } from '../endpoints/directory.ts';
import type { EndpointLanes } from '../endpoints/feed.ts';
import { type Lsn, LSN_ZERO } from '../lsn.ts';
import type { LaneName } from '../pipeline.ts';
import type { Router } from '../router/router.ts';
import type { EndpointService } from './endpoint-service.ts';

/** `settled`: everything that was committed before this position is settled. */
export function endpointLanes(
  endpoints: EndpointService,
  router: Pick<Router, 'pauseChanged' | 'endLane'>,
  settled: () => Lsn,
): EndpointLanes {
  return {
    paused: (endpoint) => router.pauseChanged(laneOf(endpoint)),
    ended: (endpoint, { origin }, dropped) => {
      const at = origin.commitLsn ?? LSN_ZERO;
      endpoints.leaves(endpoint, { at, settled: settled() });
      router.endLane(laneOf(endpoint), { at, dropped });
    },
  };
}

function laneOf({ sink, organizationId, endpointId }: KnownEndpoint): LaneName {
  return { sink, organizationId, lane: endpointId };
}
