// Reads the JSON report that vitest wrote, and the errors that no test awaited. Prints each failed test with its file and its error, each test that needed its
// second try, each skipped test, and as the last line `N passed, N failed, N skipped`. Exits 1 when a test failed, when the
// report says that the run did not succeed, and, with CI=true, when a test was skipped that could have run here.
import { existsSync, readFileSync } from 'node:fs';
import { basename, relative } from 'node:path';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';
import { unhandledErrorsPath } from './unhandled-errors.mjs';

/** A file that cannot be loaded has no tests to count, so it counts as one failure. So does an error outside the tests. */
export function summarize(report, unhandled = []) {
  const tests = report.testResults.flatMap((file) =>
    file.assertionResults.map((test) => ({
      status: test.status,
      needsNode22: pathOf(file).startsWith('tests/node22/'),
      needsEngine: pathOf(file).startsWith('tests/container/'),
      name: `${pathOf(file)} > ${test.fullName}`,
      error: firstLine(test.failureMessages?.[0]),
    })),
  );
  const broken = report.testResults
    .filter((file) => file.status === 'failed' && !file.assertionResults.some((test) => test.status === 'failed'))
    .map((file) => ({ name: `${pathOf(file)} (the file)`, error: firstLine(file.message) }));
  return {
    passed: report.numPassedTests,
    failed: [...tests.filter((test) => test.status === 'failed'), ...broken, ...unhandled],
    // vitest keeps the errors of the first try when the second one passes.
    secondTry: tests.filter((test) => test.status === 'passed' && test.error !== ''),
    skipped: tests.filter((test) => !['passed', 'failed'].includes(test.status)),
    success: report.success,
  };
}

function pathOf(file) {
  return relative(process.cwd(), file.name).replaceAll('\\', '/');
}

function firstLine(message = '') {
  return stripVTControlCharacters(message).trim().split('\n', 1)[0].slice(0, 300);
}

export function readSummary(path) {
  const errors = unhandledErrorsPath(path);
  const unhandled = existsSync(errors) ? JSON.parse(readFileSync(errors, 'utf8')) : [];
  return summarize(JSON.parse(readFileSync(path, 'utf8')), unhandled);
}

/**
 * What needs Node 22 is skipped before it, and runs in the second run of .ci/run. Containers are skipped where .ci/with-engine
 * has found that this machine runs no engine.
 */
export function isGood(summary, { CI, WALPOST_NO_ENGINE } = process.env) {
  const node = Number.parseInt(process.versions.node, 10);
  const mayBeSkipped = (test) => (test.needsNode22 && node < 22) || (test.needsEngine && WALPOST_NO_ENGINE);
  const skipped = summary.skipped.filter((test) => !mayBeSkipped(test));
  const hasRun = summary.passed > 0 || (summary.skipped.length > 0 && skipped.length === 0);
  return summary.success && summary.failed.length === 0 && hasRun && !(CI === 'true' && skipped.length > 0);
}

/** The last line is the counts; the lines above it name every test that did not simply pass. */
export function formatSummary(summary) {
  const named = (what, tests) =>
    tests.map(({ name, error }) => (error ? `${what}: ${name}\n    ${error}\n` : `${what}: ${name}\n`));
  return [
    ...named('skipped', summary.skipped),
    ...named('second try', summary.secondTry),
    ...named('failed', summary.failed),
    `${summary.passed} passed, ${summary.failed.length} failed, ${summary.skipped.length} skipped\n`,
  ].join('');
}

if (process.argv[1] && fileURLToPath(import.meta.url) === process.argv[1]) {
  const [path] = process.argv.slice(2);
  if (!path) {
    process.stderr.write(`usage: node ${basename(process.argv[1])} report.json\n`);
    process.exit(2);
  }
  const summary = readSummary(path);
  process.stdout.write(formatSummary(summary));
  process.exit(isGood(summary) ? 0 : 1);
}
