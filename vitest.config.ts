import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

// The reporter calls Map.groupBy when a test fails; Node 20 does not have it, and the failure would be hidden.
if (!('groupBy' in Map)) {
  Object.assign(Map, {
    groupBy<T, K>(items: Iterable<T>, keyOf: (item: T, index: number) => K): Map<K, T[]> {
      const groups = new Map<K, T[]>();
      let index = 0;
      for (const item of items) {
        const key = keyOf(item, index++);
        const group = groups.get(key);
        if (group) group.push(item);
        else groups.set(key, [item]);
      }
      return groups;
    },
  });
}

/** Benchmarks and soaks take minutes: `WALPOST_LONG=1 npm test` runs them too. */
const long = process.env['WALPOST_LONG'] === '1' ? [] : ['tests/bench/**', 'tests/**/*.soak.test.ts'];

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    exclude: long,
    globalSetup: ['tests/support/global-setup.ts'],
    pool: 'forks',
    // Most files keep a Postgres busy beside their own process.
    maxWorkers: Math.max(2, Math.floor(availableParallelism() / 2)),
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    // Tests that start processes and servers have bounds in time; a machine that stands still for a moment gets a second try.
    retry: process.env['CI'] ? 1 : 0,
    allowOnly: false,
    reporters: ['default', ['json', { outputFile: process.env['WALPOST_TEST_REPORT'] ?? '.cache/test-report.json' }]],
    coverage: { include: ['src/**'], reporter: ['text-summary', 'html'] },
  },
});
