import type { Config } from '../config/schema.ts';

/** What the configuration calls a sink now, by what it was called before (`formerly`). */
export function formerNames(sinks: Config['sinks']): ReadonlyMap<string, string> {
  return new Map(
    Object.entries(sinks).flatMap(([name, { formerly }]) => (formerly ? [[formerly, name] as const] : [])),
  );
}
