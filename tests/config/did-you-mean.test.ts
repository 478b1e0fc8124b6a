import { expect, test } from 'vitest';
import { didYouMean, editDistance } from '../../src/config/did-you-mean.ts';

test.each([
  ['window', 'window', 0],
  ['windo', 'window', 1],
  ['widnow', 'window', 1],
  ['kitten', 'sitting', 3],
  ['', 'abc', 3],
])('from %j to %j', (a, b, expected) => {
  expect(editDistance(a, b)).toBe(expected);
  expect(editDistance(b, a)).toBe(expected);
});

test('only what is close is proposed, and the closest', () => {
  expect(didYouMean('pool_sise', ['url', 'pool_size', 'pool_sizes'])).toBe('; did you mean pool_size?');
  expect(didYouMean('colour', ['url', 'pool_size'])).toBe('');
  expect(didYouMean('x'.repeat(5000), ['x'.repeat(4999)])).toBe('');
});
