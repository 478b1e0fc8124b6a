import { spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const script = join(import.meta.dirname, '../../scripts/test-summary.mjs');
const root = join(import.meta.dirname, '../..');

interface ReportedFile {
  readonly name: string;
  readonly status: string;
  readonly message: string;
  readonly assertionResults: readonly { status: string; fullName: string; failureMessages: readonly string[] }[];
}

/** A file of vitest's report; no test at all means that it could not be loaded. */
function fileWith(...statuses: string[]): ReportedFile {
  const isBad = statuses.includes('failed') || statuses.length === 0;
  return {
    name: join(root, 'tests/x/y.test.ts'),
    status: isBad ? 'failed' : 'passed',
    message: statuses.length === 0 ? "Cannot find module './gone.ts'\n    at load" : '',
    assertionResults: statuses.map((status, index) => ({
      status: status === 'second try' ? 'passed' : status,
      fullName: `the suite test ${index}`,
      failureMessages: ['failed', 'second try'].includes(status)
        ? ['\u001b[31mError\u001b[39m: expected 1 to be 2\n    at y.test.ts:3', 'Error: another']
        : [],
    })),
  };
}

function summaryOf(files: readonly ReportedFile[], CI = '', WALPOST_NO_ENGINE = '') {
  const count = (status: string): number =>
    files.flatMap((file) => file.assertionResults).filter((test) => test.status === status).length;
  const directory = mkdtempSync(join(tmpdir(), 'walpost-summary-'));
  try {
    const path = join(directory, 'report.json');
    const success = files.every((file) => file.status === 'passed');
    const report = {
      success,
      numPassedTests: count('passed'),
      numFailedTests: count('failed'),
      testResults: files,
    };
    writeFileSync(path, JSON.stringify(report));
    const { stdout, status } = spawnSync(process.execPath, [script, path], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, CI, WALPOST_NO_ENGINE },
    });
    return { lines: stdout.trimEnd().split('\n'), status };
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test.each([
  ['all passed', [fileWith('passed', 'passed'), fileWith('passed')], 'true', '3 passed, 0 failed, 0 skipped -> 0'],
  ['one failed', [fileWith('passed', 'failed')], 'true', '1 passed, 1 failed, 0 skipped -> 1'],
  ['a file does not load', [fileWith('passed'), fileWith()], 'true', '1 passed, 1 failed, 0 skipped -> 1'],
  ['a second try is a pass', [fileWith('second try')], 'true', '1 passed, 0 failed, 0 skipped -> 0'],
  ['one skipped', [fileWith('passed', 'skipped')], '', '1 passed, 0 failed, 1 skipped -> 0'],
  ['one skipped where it may not', [fileWith('passed', 'pending')], 'true', '1 passed, 0 failed, 1 skipped -> 1'],
  ['nothing ran', [], '', '0 passed, 0 failed, 0 skipped -> 1'],
])('the last line is the counts: %s', (_name, files, CI, expected) => {
  const { lines, status } = summaryOf(files, CI);
  expect(`${lines.at(-1)} -> ${status}`).toBe(expected);
});

test('with CI=true what needs Node 22 may be skipped before it, by name, and not on it', () => {
  const newer = { ...fileWith('skipped'), name: join(root, 'tests/node22/y.test.ts') };
  const { lines, status } = summaryOf([fileWith('passed'), newer], 'true');
  expect(lines).toEqual(['skipped: tests/node22/y.test.ts > the suite test 0', '1 passed, 0 failed, 1 skipped']);
  expect(status).toBe(Number.parseInt(process.versions.node, 10) < 22 ? 0 : 1);
});

test('with CI=true containers may be skipped where no engine can run, by name, and not where one could', () => {
  const contained = { ...fileWith('skipped'), name: join(root, 'tests/container/y.test.ts') };
  const reason = 'dockerd does not start: operation not permitted';
  const named = ['skipped: tests/container/y.test.ts > the suite test 0', '0 passed, 0 failed, 1 skipped'];
  expect(summaryOf([contained], 'true', reason)).toEqual({ lines: named, status: 0 });
  expect(summaryOf([contained], 'true')).toEqual({ lines: named, status: 1 });
  expect(summaryOf([contained, fileWith('skipped')], 'true', reason).status).toBe(1);
});

test('names each test that did not simply pass, with its file and the first line of its first error', () => {
  const files = [fileWith('passed', 'failed', 'second try', 'skipped'), fileWith()];
  expect(summaryOf(files).lines).toEqual([
    'skipped: tests/x/y.test.ts > the suite test 3',
    'second try: tests/x/y.test.ts > the suite test 2',
    '    Error: expected 1 to be 2',
    'failed: tests/x/y.test.ts > the suite test 1',
    '    Error: expected 1 to be 2',
    'failed: tests/x/y.test.ts (the file)',
    "    Cannot find module './gone.ts'",
    '2 passed, 2 failed, 1 skipped',
  ]);
});

test('an error that no test awaits is named and counts as a failure', () => {
  mkdirSync(join(root, '.cache'), { recursive: true });
  // Within the repository, where `vitest` can be imported.
  const directory = mkdtempSync(join(root, '.cache/unhandled-'));
  const report = join(directory, 'report.json');
  const reporters = [
    ['json', { outputFile: report }],
    [join(root, 'scripts/unhandled-errors.mjs'), { report }],
  ];
  try {
    writeFileSync(join(directory, 'vitest.config.mjs'), `export default ${JSON.stringify({ test: { reporters } })};\n`);
    writeFileSync(
      join(directory, 'x.test.mjs'),
      "import { test } from 'vitest';\ntest('x', () => { void Promise.reject(new Error('nobody waits')); });\n",
    );
    const { stdout, status } = spawnSync(process.execPath, [join(root, 'scripts/test.mjs'), '--root', directory], {
      cwd: root,
      encoding: 'utf8',
      env: { ...process.env, WALPOST_TEST_REPORT: report },
    });
    expect(stdout.trimEnd().split('\n').slice(-3)).toEqual([
      expect.stringMatching(/^failed: .*x\.test\.mjs.* \(unhandled\)$/),
      expect.stringContaining('Error: nobody waits'),
      '1 passed, 1 failed, 0 skipped',
    ]);
    expect(status).toBe(1);
  } finally {
    rmSync(directory, { recursive: true });
  }
});
