// Reads the JSON report that vitest wrote and says `N passed, N failed, N skipped`. Exits 1 when a test failed, when the
// report says that the run did not succeed, and, with CI=true, when a test was skipped.
import { readFileSync } from 'node:fs';
import { basename } from 'node:path';
import { fileURLToPath } from 'node:url';

/** A file that cannot be loaded has no tests to count, so it counts as one failure. */
export function summarize(report) {
  const broken = report.testResults.filter(
    (file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'),
  );
  const skipped = report.testResults.flatMap((file) =>
    file.assertionResults.filter((test) => !['passed', 'failed'].includes(test.status)).map((test) => test.fullName),
  );
  return {
    passed: report.numPassedTests,
    failed: report.numFailedTests + broken.length,
    skipped: skipped.length,
    skippedNames: skipped,
    success: report.success,
  };
}

export function readSummary(path) {
  return summarize(JSON.parse(readFileSync(path, 'utf8')));
}

export function isGood(summary, ci = process.env.CI === 'true') {
  return summary.success && summary.failed === 0 && summary.passed > 0 && !(ci && summary.skipped > 0);
}

export function formatSummary(summary) {
  return `${summary.passed} passed, ${summary.failed} failed, ${summary.skipped} skipped`;
}

if (process.argv[1] && fileURLToPath(import.meta.url) === process.argv[1]) {
  const [path] = process.argv.slice(2);
  if (!path) {
    process.stderr.write(`usage: node ${basename(process.argv[1])} report.json\n`);
    process.exit(2);
  }
  const summary = readSummary(path);
  process.stdout.write(`${formatSummary(summary)}\n`);
  process.exit(isGood(summary) ? 0 : 1);
}
