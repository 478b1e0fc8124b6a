/** Endpoints of customers, for the status of a leader. */
import type { Clock } from '../../clock.ts';
import type { EndpointShown } from '../../observe/failing-log.ts';
import type { EndpointsStatus } from '../../observe/status-report.ts';
import type { FailingLane } from '../../pipeline.ts';
import type { EndpointService } from '../endpoint-service.ts';

const MOST_SHOWN = 20;

/** Null where no sink has endpoints. */
export function endpointsStatus(
  endpoints: EndpointService | undefined,
  failing: readonly (FailingLane & EndpointShown)[],
  clock: Clock,
): EndpointsStatus | null {
  if (!endpoints || endpoints.sinks.length === 0) return null;
  const first = failing.toSorted((a, b) => a.since - b.since).slice(0, MOST_SHOWN);
  return {
    ...endpoints.counts(),
    silent: endpoints.isHeld,
    failing: failing.length,
    first: first.map(({ sink, organizationId, endpoint, host, since, reason }) => {
      const at = new Date(clock.wallTime() + since - clock.now()).toISOString();
      return { sink, organizationId, endpoint, host, since: at, reason };
    }),
  };
}
