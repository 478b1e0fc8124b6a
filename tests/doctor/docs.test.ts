import { readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { CATALOGUE } from '../../src/doctor/catalogue.ts';
import { ERROR_CODES } from '../../src/errors.ts';

const page = readFileSync(new URL('../../docs/doctor.md', import.meta.url), 'utf8');
const rows = page
  .split('\n')
  .flatMap((line) => [/^\| `([A-Z0-9_]+)` *\| (critical|warning|note) /.exec(line)?.slice(1) ?? []])
  .filter((row) => row.length > 0);

test('docs/doctor.md has every code with its severity, and no other', () => {
  const listed = rows.map(([code, severity]) => `${code}: ${severity}`).toSorted();
  const known = Object.entries(CATALOGUE).map(([code, { severity }]) => `${code}: ${severity}`);
  expect(listed).toEqual(known.toSorted());
});

test('a code of doctor alone is none of errors.md, and the others are all there', () => {
  const own = Object.keys(CATALOGUE).filter((code) => !(code in ERROR_CODES));
  expect(own.length).toBeGreaterThan(30);
  expect(Object.keys(CATALOGUE).length - own.length).toBeGreaterThan(25);
});
