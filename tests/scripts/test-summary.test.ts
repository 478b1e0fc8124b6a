import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const script = join(import.meta.dirname, '../../scripts/test-summary.mjs');
const result = (...statuses: string[]) => ({
  status: statuses.includes('failed') || statuses.length === 0 ? 'failed' : 'passed',
  assertionResults: statuses.map((status, index) => ({ status, fullName: `test ${index}` })),
});

function summaryOf(files: readonly ReturnType<typeof result>[], CI: string) {
  const tests = files.flatMap((file) => file.assertionResults);
  const count = (status: string): number => tests.filter((each) => each.status === status).length;
  const directory = mkdtempSync(join(tmpdir(), 'walpost-summary-'));
  try {
    const path = join(directory, 'report.json');
    const success = files.every((file) => file.status === 'passed');
    const report = { success, numPassedTests: count('passed'), numFailedTests: count('failed'), testResults: files };
    writeFileSync(path, JSON.stringify(report));
    const { stdout, status } = spawnSync(process.execPath, [script, path], {
      encoding: 'utf8',
      env: { ...process.env, CI },
    });
    return `${stdout.trim()} -> ${status}`;
  } finally {
    rmSync(directory, { recursive: true });
  }
}

test.each([
  ['all passed', [result('passed', 'passed'), result('passed')], 'true', '3 passed, 0 failed, 0 skipped -> 0'],
  ['one failed', [result('passed', 'failed')], 'true', '1 passed, 1 failed, 0 skipped -> 1'],
  ['a file does not load', [result('passed'), result()], 'true', '1 passed, 1 failed, 0 skipped -> 1'],
  ['one skipped', [result('passed', 'skipped')], '', '1 passed, 0 failed, 1 skipped -> 0'],
  ['one skipped where it may not', [result('passed', 'pending')], 'true', '1 passed, 0 failed, 1 skipped -> 1'],
  ['nothing ran', [], '', '0 passed, 0 failed, 0 skipped -> 1'],
])('says what the report says: %s', (_name, files, CI, expected) => {
  expect(summaryOf(files, CI)).toBe(expected);
});
