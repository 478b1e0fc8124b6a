/** Every package of the lock files runs on the oldest Node that the README names, so that npm warns nobody at an installation. */
import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');

interface LockedPackage {
  readonly version?: string;
  readonly engines?: { readonly node?: string };
}

const { engines } = JSON.parse(read('package.json')) as { engines: { node: string } };
const floor = engines.node.replace('>=', '');
const FLOOR = partsOf(floor);

function partsOf(version: string): number[] {
  return version.split('.').flatMap((part) => (/^\d+$/.test(part) ? [Number(part)] : []));
}

/** Negative when the floor is below the version; missing parts of the version count as 0. */
function compare(version: readonly number[]): number {
  for (const index of [0, 1, 2]) {
    const difference = (FLOOR[index] ?? 0) - (version[index] ?? 0);
    if (difference !== 0) return difference;
  }
  return 0;
}

function holds(comparator: string): boolean {
  const [, operator = '', text = ''] = /^([<>=^~]*)v?(.*)$/.exec(comparator) ?? [];
  const version = partsOf(text);
  const begins = (length: number): boolean =>
    version.slice(0, length).every((part, index) => part === (FLOOR[index] ?? 0));
  if (operator === '>=') return compare(version) >= 0;
  if (operator === '>') return compare(version) > 0;
  if (operator === '<=') return compare(version) <= 0;
  if (operator === '<') return compare(version) < 0;
  if (operator === '^') return begins(1) && compare(version) >= 0;
  if (operator === '~') return begins(2) && compare(version) >= 0;
  return begins(version.length);
}

/** A range as npm reads it, without prereleases and hyphens, which no package uses here. */
function includesFloor(range: string): boolean {
  const alternatives = range.replace(/([<>=^~])\s+/g, '$1').split('||');
  return alternatives.some((set) => set.trim().split(/\s+/).every(holds));
}

test.each([
  ['>=20', true],
  ['>= 10.x', true],
  ['^20.19.0 || >=22.12.0', true],
  ['20 || >=22', true],
  ['>=18 <21', true],
  ['^22 || ^24', false],
  ['>=20.20', false],
  ['^20.20.0', false],
  ['<20', false],
])('%s includes the floor: %s', (range, expected) => {
  expect(includesFloor(range)).toBe(expected);
});

test.each(['package-lock.json', 'tests/servers/package-lock.json'])('%s', (file) => {
  const { packages } = JSON.parse(read(file)) as { packages: Record<string, LockedPackage> };
  const newer = Object.entries(packages).filter(([, { engines: wanted }]) => !includesFloor(wanted?.node ?? '*'));
  expect(newer.map(([name, { version, engines: wanted }]) => `${name} ${version}: ${wanted?.node}`)).toEqual([]);
});

test('the README names the floor', () => {
  expect(read('README.md')).toContain(`Node ${floor}`);
});
