// `npm run fuzz -- --minutes 10 --seed 1`: tries the properties of routes, patterns, reasons and configurations for a time,
// from a seed, instead of for the number of runs that their tests say. A property that fails prints its counterexample.
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseArgs } from 'node:util';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const FILES = ['router/route-table', 'router/pattern', 'sinks/answer-text', 'config/load-config'];
/** As many as those files have; each has the same time. */
const PROPERTIES = 8;

const { values } = parseArgs({
  options: {
    minutes: { type: 'string', default: '10' },
    seed: { type: 'string', default: String(Date.now() % 2 ** 31) },
  },
});
const seconds = Math.max(1, Math.round((Number(values.minutes) * 60) / PROPERTIES));
process.stdout.write(`each of ${PROPERTIES} properties for ${seconds} s, seed ${values.seed}\n`);
const { status } = spawnSync(
  process.execPath,
  [
    join(root, 'node_modules/vitest/vitest.mjs'),
    'run',
    '--project',
    'unit',
    '--maxWorkers=1',
    `--testTimeout=${(seconds + 120) * 1000}`,
    ...FILES.map((file) => `tests/${file}.test.ts`),
  ],
  {
    cwd: root,
    stdio: 'inherit',
    env: { ...process.env, WALPOST_FUZZ_SECONDS: String(seconds), WALPOST_FUZZ_SEED: values.seed },
  },
);
process.exit(status ?? 1);
