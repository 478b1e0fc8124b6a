// A reporter of vitest. An error that no test awaits (a rejection, a worker that dies) makes vitest exit 1, but vitest's JSON
// report does not hold it. This writes such errors beside the report, so that scripts/test-summary.mjs can name them.
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, relative } from 'node:path';

/** Where the unhandled errors of a run stand: `[{ name, error }]`, where the name says in which test it happened. */
export function unhandledErrorsPath(report) {
  return `${report}.unhandled.json`;
}

export default class UnhandledErrorsReporter {
  constructor({ report }) {
    this.path = unhandledErrorsPath(report);
  }

  onTestRunEnd(_modules, errors) {
    rmSync(this.path, { force: true });
    if (errors.length === 0) return;
    mkdirSync(dirname(this.path), { recursive: true });
    writeFileSync(this.path, JSON.stringify(errors.map(described)));
  }
}

function described(error) {
  const file = error.VITEST_TEST_PATH ? relative(process.cwd(), error.VITEST_TEST_PATH) : 'no file';
  const test = error.VITEST_TEST_NAME ? ` > ${error.VITEST_TEST_NAME}` : '';
  const [place = ''] = (error.stack ?? '').split('\n').filter((line) => /^\s+at .*\/(src|tests|packages)\//.test(line));
  return {
    name: `${file}${test} (unhandled)`,
    error: `${error.name ?? 'Error'}: ${error.message ?? ''}${place && ` ${place.trim()}`}`.replaceAll('\n', ' '),
  };
}
