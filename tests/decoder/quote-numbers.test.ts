import fc from 'fast-check';
import { expect, test } from 'vitest';
import { quoteNumbers } from '../../src/decoder/quote-numbers.ts';

test('numbers become strings with all their digits, strings stay', () => {
  const json = String.raw`{"a":9223372036854775808,"b":[0.10,-1e+400],"c":"say \"12\" \\","d":"34","e":true,"f":null}`;
  expect(JSON.parse(quoteNumbers(json))).toEqual({
    a: '9223372036854775808',
    b: ['0.10', '-1e+400'],
    c: 'say "12" \\',
    d: '34',
    e: true,
    f: null,
  });
});

test('whatever strings there are, they are not touched', () => {
  fc.assert(
    fc.property(fc.array(fc.string({ unit: 'binary', maxLength: 20 }), { maxLength: 5 }), fc.nat(), (texts, number) => {
      const json = JSON.stringify({ texts, number });
      expect(JSON.parse(quoteNumbers(json))).toEqual({ texts, number: String(number) });
    }),
  );
});

test('a text that is cut inside a string ends', () => {
  expect(quoteNumbers('{"a":1,"b\\')).toBe('{"a":"1","b\\');
});
