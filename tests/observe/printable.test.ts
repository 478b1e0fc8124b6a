import { expect, test } from 'vitest';
import { createLog } from '../../src/observe/log.ts';
import { printable, printableJson, printableLines, printableValue } from '../../src/observe/printable.ts';

test.each([
  ['plain, größer, 日本 and 🎉', 'plain, größer, 日本 and 🎉'],
  ['\x1b[2J', '\\x1b[2J'],
  ['\x9b2J\x85', '\\x9b2J\\x85'],
  ['a\tb\nc\rd\x00', 'a\\tb\\nc\\rd\\x00'],
  ['\x7f', '\\x7f'],
  ['\u202eabc\u202c\u2067\u200f\u061c', '\\u202eabc\\u202c\\u2067\\u200f\\u061c'],
  ['\u2028\u2029\ufeff\u200b', '\\u2028\\u2029\\ufeff\\u200b'],
  ['\u{e0041}', '\\udb40\\udc41'],
])('%j is shown as %j', (text, shown) => {
  expect(printable(text)).toBe(shown);
});

test('lines stay lines, and values keep their shape', () => {
  expect(printableLines('a\x1b\nb\r\n')).toBe('a\\x1b\nb\\r\n');
  expect(printableValue({ 'a\x1b': ['b\x9b', 1, null, { c: true }] })).toEqual({
    'a\\x1b': ['b\\x9b', 1, null, { c: true }],
  });
});

test('JSON means the same', () => {
  const value = { '\u202e': 'a\x9b\x7f\u2028\u{e0041}"\\', n: [1, null] };
  for (const indent of [0, 2]) {
    const text = printableJson(value, indent);
    expect(text).not.toMatch(/[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/u);
    expect(JSON.parse(text)).toEqual(value);
  }
});

test.each(['json', 'pretty'] as const)('a line of the log in %s', (format) => {
  const lines: string[] = [];
  const log = createLog({ level: 'debug', format, destination: { write: (line) => lines.push(line) } });
  const evil = 'a\x1b[2J\x9b\u202e\u2028';
  log.warn({ err: new Error(evil, { cause: new Error(evil) }), sink: evil, list: [{ evil }], [evil]: 1 }, evil);
  expect(lines).toHaveLength(1);
  expect(lines[0]).not.toMatch(/[^\P{Cc}\n]|[\p{Cf}\p{Zl}\p{Zp}]/u);
  expect(lines[0]?.match(/202e/g)?.length).toBeGreaterThanOrEqual(6);
  if (format === 'json') expect(JSON.parse(lines[0] ?? '')).toMatchObject({ sink: evil, msg: evil });
});
