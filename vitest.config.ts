import { availableParallelism } from 'node:os';
import { defineConfig } from 'vitest/config';
import { testsIndependentOfNode } from './tests/support/independent-of-node.ts';
import { unitTests } from './tests/support/unit-tests.ts';

/** Benchmarks and soaks take minutes: `WALPOST_LONG=1 npm test` runs them too. */
const long = process.env['WALPOST_LONG'] === '1' ? [] : ['tests/bench/**', 'tests/**/*.soak.test.ts'];

/** They need a Docker engine: `WALPOST_CONTAINERS=1 .ci/with-engine npm test -- tests/container`. */
const containers = process.env['WALPOST_CONTAINERS'] === '1' ? [] : ['tests/container/**'];

/** `WALPOST_TESTS=node npm test` repeats on another version of Node what can depend on it. */
const elsewhere = process.env['WALPOST_TESTS'] === 'node' ? testsIndependentOfNode() : [];

/**
 * `npm run test:unit` runs the first project alone. None of its tests starts a server or a process, changes the environment
 * or replaces a module, so its files share one worker thread per core: each module is loaded once per thread.
 */
const unit = unitTests();

/** scripts/test-summary.mjs reads it. */
const report = process.env['WALPOST_TEST_REPORT'] ?? '.cache/test-report.json';

export default defineConfig({
  test: {
    projects: [
      { extends: true, test: { name: 'unit', include: unit, pool: 'threads', isolate: false } },
      {
        extends: true,
        test: {
          name: 'servers',
          include: ['tests/**/*.test.ts'],
          exclude: [...long, ...containers, ...elsewhere, ...unit],
          globalSetup: ['tests/support/global-setup.ts'],
        },
      },
    ],
    pool: 'forks',
    // Most files keep a Postgres and processes busy beside their own, and wait in between: three use two cores to nine tenths.
    maxWorkers: availableParallelism() < 2 ? 2 : Math.max(3, Math.floor(availableParallelism() / 2)),
    testTimeout: 60_000,
    hookTimeout: 60_000,
    teardownTimeout: 20_000,
    // Tests that start processes and servers have bounds in time; a machine that stands still for a moment gets a second try.
    retry: process.env['CI'] ? 1 : 0,
    allowOnly: false,
    reporters: ['default', ['json', { outputFile: report }], ['./scripts/unhandled-errors.mjs', { report }]],
    coverage: { include: ['src/**'], reporter: ['text-summary', 'html'] },
  },
});
