// `npm test`: runs vitest with the given arguments and closes with the counts of vitest's own JSON report.
import { spawnSync } from 'node:child_process';
import { rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatSummary, isGood, readSummary } from './test-summary.mjs';
import { unhandledErrorsPath } from './unhandled-errors.mjs';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
const report = process.env.WALPOST_TEST_REPORT ?? join(root, '.cache', 'test-report.json');

rmSync(report, { force: true });
rmSync(unhandledErrorsPath(report), { force: true });
const { status } = spawnSync(
  process.execPath,
  [join(root, 'node_modules/vitest/vitest.mjs'), 'run', ...process.argv.slice(2)],
  { cwd: root, stdio: 'inherit', env: { ...process.env, WALPOST_TEST_REPORT: report } },
);

let summary;
try {
  summary = readSummary(report);
  if (status !== 0 && isGood(summary)) {
    const errors = [{ name: 'vitest', error: `it ended with exit code ${status}, although every test passed` }];
    writeFileSync(unhandledErrorsPath(report), JSON.stringify(errors));
    summary = readSummary(report);
  }
} catch {
  process.stderr.write('vitest wrote no report.\n');
  process.exit(status || 1);
}
process.stdout.write(formatSummary(summary));
process.exit(status || (isGood(summary) ? 0 : 1));
