import type { Config } from './schema.ts';

/** Names of the sinks that deliver to the endpoints of customers: each of their lanes is an endpoint. */
export function endpointSinks(sinks: Config['sinks']): ReadonlySet<string> {
  const found = Object.entries(sinks).filter(([, sink]) => 'endpoints' in sink && sink.endpoints === true);
  return new Set(found.map(([name]) => name));
}

/** Whether a sink delivers to the endpoints of customers. */
export function hasEndpoints(sinks: Config['sinks']): boolean {
  return endpointSinks(sinks).size > 0;
}
