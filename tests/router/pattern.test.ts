import fc from 'fast-check';
import { expect, test } from 'vitest';
import { compilePattern } from '../../src/pattern.ts';
import { runs } from '../support/fuzz.ts';

/** What a pattern means, said with a regular expression. */
function meaning(pattern: string): RegExp {
  const pieces = pattern.split('*').map((piece) => piece.replace(/[\\^$.*+?()[\]{}|/]/g, String.raw`\$&`));
  return new RegExp(`^${pieces.join('[^]*')}$`, 'u');
}

const few = (length: number, ...letters: string[]): fc.Arbitrary<string> =>
  fc.string({ unit: fc.constantFrom(...letters), maxLength: length });

test('a star stands for any text, everything else for itself', () => {
  fc.assert(
    fc.property(few(7, 'a', 'b', '.', '*', '\n', 'é'), few(10, 'a', 'b', '.', '*', '\n', 'é'), (pattern, text) => {
      expect(compilePattern(pattern)(text)).toBe(meaning(pattern).test(text));
    }),
    runs(20_000),
  );
});

test.each([
  ['255 dots', '*.*.*.*.*.created', '.'.repeat(255)],
  ['a megabyte of dots', '*.*.*.*.*.created', '.'.repeat(1_000_000)],
  ['a megabyte of beginnings', '*aaab*aaab*aaab', 'aaa'.repeat(333_333)],
  ['a megabyte of long beginnings', `*${'a'.repeat(200)}b*`, 'a'.repeat(1_000_000)],
])('%s costs time in its length', (_, pattern, text) => {
  const matches = compilePattern(pattern);
  const { user } = process.cpuUsage(); // other processes must not count
  expect(matches(text)).toBe(false);
  expect((process.cpuUsage().user - user) / 1000).toBeLessThan(100);
});
