import { expect, test } from 'vitest';
import { duration, parseDuration, parseRate, parseSize, rate, size } from '../../src/config/units.ts';

test.each([
  ['250ms', 250],
  ['2s', 2000],
  ['1.5m', 90_000],
  ['24h', 86_400_000],
  ['3d', 259_200_000],
  ['0', 0],
  ['250', undefined],
  ['1 s', undefined],
  ['-1s', undefined],
  ['1e3s', undefined],
  ['', undefined],
])('the duration %j', (text, expected) => {
  expect(parseDuration(text)).toBe(expected);
});

test.each([
  ['512B', 512],
  ['64KiB', 65_536],
  ['1.5MiB', 1_572_864],
  ['2GiB', 2_147_483_648],
  ['0', 0],
  ['64KB', undefined],
  ['64k', undefined],
])('the size %j', (text, expected) => {
  expect(parseSize(text)).toBe(expected);
});

test('bounds are part of the unit', () => {
  expect(duration({ min: '1ms', max: '1m' }).safeParse('0ms').error?.issues[0]?.message).toBe('must be at least 1ms');
  expect(duration({ min: '1ms', max: '1m' }).safeParse('61s').error?.issues[0]?.message).toBe('must be at most 1m');
  expect(size({ min: '1KiB' }).parse('1KiB')).toBe(1024);
});

test.each([
  ['100/s', 100],
  ['30/m', 0.5],
  ['1.5/s', 1.5],
  ['0/s', undefined],
  ['100', undefined],
  ['100/d', undefined],
  ['-1/s', undefined],
])('the rate %j', (text, expected) => {
  expect(parseRate(text)).toBe(expected);
  expect(rate().safeParse(text).success).toBe(expected !== undefined);
});
