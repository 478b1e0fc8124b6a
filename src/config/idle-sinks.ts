import type { Config } from './schema.ts';

/** Sinks that no route names: nothing that is published goes there. */
export function idleSinks({ sinks, routes }: Pick<Config, 'sinks' | 'routes'>): readonly string[] {
  const named = new Set(routes.flatMap(({ to }) => to));
  return Object.keys(sinks).filter((name) => !named.has(name));
}

/** What to do about it. */
export function idleSinkText(name: string): string {
  return `no route names it, so no event goes there: add ${name} to \`to\` of a route, or remove the sink`;
}
