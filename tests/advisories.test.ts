/** No lock file names a version of which a fault of safety is known. */
import { execFileSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';

const ROOT = join(import.meta.dirname, '..');
/** The first version with all fixes: CVE-2024-37890, CVE-2026-45736, CVE-2026-48779 and CVE-2026-62389. */
const FIXED: Readonly<Record<string, string>> = { ws: '8.21.1' };

interface Lock {
  readonly packages: Readonly<Record<string, { readonly version?: string }>>;
}

function isBelow(version: string, fixed: string): boolean {
  const [one, other] = [version, fixed].map((text) => text.split(/[.-]/).slice(0, 3).map(Number));
  const index = one?.findIndex((part, at) => part !== other?.[at]) ?? -1;
  return index >= 0 && (one?.[index] ?? 0) < (other?.[index] ?? 0);
}

test.each([
  ['8.21.0', true],
  ['8.9.9', true],
  ['7.99.0', true],
  ['8.21.1', false],
  ['8.100.0', false],
  ['9.0.0', false],
])('%s is below 8.21.1: %s', (version, expected) => {
  expect(isBelow(version, '8.21.1')).toBe(expected);
});

test('every copy of a package that had one has the fix', () => {
  const files = execFileSync('git', ['ls-files', '*package-lock.json'], { cwd: ROOT, encoding: 'utf8' }).trim();
  const found = files.split('\n').flatMap((file) => {
    const { packages } = JSON.parse(readFileSync(join(ROOT, file), 'utf8')) as Lock;
    return Object.entries(packages).map(([path, { version = '0' }]) => ({
      file,
      name: path.split('node_modules/').at(-1) ?? '',
      version,
    }));
  });
  expect(found.filter(({ name }) => name === 'ws').length).toBeGreaterThan(1);
  expect(found.filter(({ name, version }) => FIXED[name] !== undefined && isBelow(version, FIXED[name]))).toEqual([]);
});
