import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ERROR_CODES } from '../src/errors.ts';
import { Metrics } from '../src/observe/metrics.ts';

const page = (name: string): string => readFileSync(new URL(`../docs/${name}`, import.meta.url), 'utf8');

test('docs/errors.md has every code, and no other', () => {
  const named = [...page('errors.md').matchAll(/`([A-Z]+(?:_[A-Z0-9]+)*)`/g)].map(([, code]) => code ?? '');
  const codes = Object.keys(ERROR_CODES);
  expect(codes.filter((code) => !named.includes(code))).toEqual([]);
  expect(named.filter((name) => name !== 'UNEXPECTED' && !codes.includes(name) && name.includes('_'))).toEqual([]);
});

test('docs/operations.md has every metric, and no other', async () => {
  const served = [...(await new Metrics().render()).matchAll(/^# TYPE (walpost_\w+)/gm)].map(([, name]) => name ?? '');
  const named = [...page('operations.md').matchAll(/`(walpost_\w+)(?:\{[^`]*)?`/g)].map(([, name]) => name ?? '');
  expect(served.length).toBeGreaterThan(15);
  expect(served.filter((name) => !named.includes(name))).toEqual([]);
  const table = page('operations.md')
    .split('\n')
    .filter((line) => line.startsWith('| `walpost_'))
    .flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`(walpost_\w+)`/g)].map(([, name]) => name ?? ''));
  expect(table.filter((name) => !served.includes(name))).toEqual([]);
});
