import fc from 'fast-check';
import { expect, test } from 'vitest';
import { isoToRfc3339, microsSince2000, timestampToRfc3339 } from '../../src/decoder/timestamps.ts';
import { formatMicros } from '../../src/pg-time.ts';

test.each([
  ['2026-11-20 14:00:00.1+00', '2026-11-20T14:00:00.100000Z'],
  ['2026-11-20 14:00:00+00', '2026-11-20T14:00:00.000000Z'],
  ['2026-11-20 14:00:00', '2026-11-20T14:00:00.000000Z'],
  ['2026-11-20 14:00:00.123456+00', '2026-11-20T14:00:00.123456Z'],
  ['2026-11-20 14:00:00.123456', '2026-11-20T14:00:00.123456Z'],
  ['2026-11-20 14:00:00.12', '2026-11-20T14:00:00.120000Z'],
  ['0001-01-01 00:00:00+00', '0001-01-01T00:00:00.000000Z'],
  ['2026-11-20 19:30:00.000001+05:30', '2026-11-20T14:00:00.000001Z'],
  ['2026-11-20 09:00:00.5-05', '2026-11-20T14:00:00.500000Z'],
  ['2026-11-20 09:00:00-05', '2026-11-20T14:00:00.000000Z'],
])('%s', (text, expected) => {
  expect(timestampToRfc3339(text)).toBe(expected);
  expect(isoToRfc3339(text)).toBe(expected);
});

test.each([
  'infinity',
  '-infinity',
  '0044-03-15 12:00:00+00 BC',
  '0044-03-15 12:00:00 BC',
  '0044-03-15 12:00:00.5 BC',
  '20260-11-20 14:00:00+00',
  '20/11/2026 14:00:00.1 UTC',
  'Fri Nov 20 14:00:00 2026 UTC',
  '2026-11-20',
  '',
])('%s cannot be said', (text) => {
  expect(timestampToRfc3339(text)).toBeUndefined();
});

test.each([
  '2026-02-30T00:00:00Z',
  '2026-13-01 00:00:00',
  '2026-01-01 24:00:00',
  '2026-01-01T00:00:60Z',
  'yesterday',
  '0000-01-01T00:00:00Z',
  '0001-01-01T00:00:00+00:01',
  '9999-12-31T23:59:59-00:01',
])('a text column that says %s is no time', (text) => {
  expect(isoToRfc3339(text)).toBeUndefined();
});

test('reading and writing microseconds are each the other way round', () => {
  const from = microsSince2000('0001-01-01 00:00:00') ?? 0n;
  const to = microsSince2000('9999-12-31 23:59:59.999999') ?? 0n;
  expect(microsSince2000('2000-01-01 00:00:00')).toBe(0n);
  expect(formatMicros(-1n)).toBe('1999-12-31T23:59:59.999999Z');
  fc.assert(
    fc.property(fc.bigInt({ min: from, max: to }), (micros) => {
      expect(microsSince2000(formatMicros(micros))).toBe(micros);
    }),
  );
});
