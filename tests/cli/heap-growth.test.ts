import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';

test('the young generation stays at half of what V8 would make of it', { timeout: 60_000 }, async () => {
  const child = new URL('heap-child.ts', import.meta.url).pathname;

  const { stdout } = await promisify(execFile)(process.execPath, ['--import', 'tsx', child]);

  expect(Number(stdout)).toBeGreaterThanOrEqual(8);
  expect(Number(stdout)).toBeLessThan(24);
});
