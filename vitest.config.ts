import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';

/** Benchmarks and soaks take minutes: `WALPOST_LONG=1 npm test` runs them too. */
const long = process.env['WALPOST_LONG'] === '1' ? [] : ['tests/bench/**', 'tests/**/*.soak.test.ts'];

export default defineConfig({
  test: {
    include: ['tests/**/*.test.ts'],
    exclude: long,
    pool: 'forks',
    // Most files keep a Postgres busy beside their own process.
    maxWorkers: Math.max(2, Math.floor(availableParallelism() / 2)),
    testTimeout: 30_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    allowOnly: false,
    reporters: ['default', ['json', { outputFile: process.env['WALPOST_TEST_REPORT'] ?? '.cache/test-report.json' }]],
    coverage: { include: ['src/**'], reporter: ['text-summary', 'html'] },
  },
});
