import type { Config } from './schema.ts';

/** Whether a sink delivers to the endpoints of customers. */
export function hasEndpoints(sinks: Config['sinks']): boolean {
  return Object.values(sinks).some((sink) => 'endpoints' in sink && sink.endpoints === true);
}
