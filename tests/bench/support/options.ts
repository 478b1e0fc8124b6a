import { parseArgs } from 'node:util';

/** Numbers and texts from `--name value`; what is not given keeps its default. */
export function benchOptions<T extends Record<string, number | string>>(defaults: T): T {
  const options = Object.fromEntries(Object.keys(defaults).map((name) => [name, { type: 'string' as const }]));
  const { values } = parseArgs({ options });
  const read = Object.entries(defaults).map(([name, fallback]) => {
    const value = values[name];
    if (typeof value !== 'string') return [name, fallback];
    return [name, typeof fallback === 'number' ? Number(value) : value];
  });
  return Object.fromEntries(read) as T;
}
