import { expect, test } from 'vitest';
import { fitted, recordText, textTable } from '../../src/cli/text-table.ts';
import { wrapText } from '../../src/observe/wrap-text.ts';

const HEAD = ['id', 'sink', 'organization', 'reason'];
const ROWS = [
  [
    '1',
    'n8n',
    '6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f11',
    'HTTP 503 from a receiver that is away for maintenance until five',
  ],
  ['2', 'n8n', '6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f12', ''],
];
const widest = (text: string): number => Math.max(...text.split('\n').map((line) => line.length));

test('a list that fits is a table, and one that does not is a record a row, with all that it says', () => {
  expect(textTable(HEAD, ROWS, 160).split('\n')).toHaveLength(4);
  for (const width of [60, 80]) {
    const text = textTable(HEAD, ROWS, width);
    expect(widest(text)).toBeLessThanOrEqual(width);
    for (const cell of ROWS.flat()) expect(text.replace(/\n +/g, ' ')).toContain(cell);
  }
  expect(textTable(HEAD, ROWS, 60)).toBe(`id            1
sink          n8n
organization  6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f11
reason        HTTP 503 from a receiver that is away for
              maintenance until five

id            2
sink          n8n
organization  6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f12

`);
});

test('an id is whole in a narrow terminal, also beside a long name', () => {
  const id = '6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f11';
  const text = recordText(
    [
      ['organization', id],
      ["the destination's own words", `no ${id}`],
    ],
    60,
  );
  expect(text).toBe(`organization  ${id}\nthe destination's own words\n              no ${id}\n`);
});

test('where there is no terminal every row is one line', () => {
  expect(textTable(HEAD, ROWS, undefined).split('\n')).toHaveLength(4);
  expect(recordText([['a', 'x '.repeat(200)]], undefined).split('\n')).toHaveLength(2);
});

test('a line keeps its indent, and is as it is where there is no terminal', () => {
  expect(fitted('  aa bb  cc', 8)).toBe('  aa bb\n  cc');
  expect(fitted('  aa bb cc dd', 10, 4)).toBe('  aa\n      bb\n      cc\n      dd');
  expect(fitted(`    ${'x '.repeat(100)}`, undefined)).toBe(`    ${'x '.repeat(100)}`);
});

test('lines break at blanks, long words where they must, and colors have no width', () => {
  expect(wrapText('aa bb cc', 5)).toEqual(['aa bb', 'cc']);
  expect(wrapText('abcdefgh', 3)).toEqual(['abc', 'def', 'gh']);
  expect(wrapText('\x1b[31maaa\x1b[39m bb', 6)).toEqual(['\x1b[31maaa\x1b[39m bb']);
  expect(wrapText('\x1b[31mabcd\x1b[39m', 2)).toEqual(['\x1b[31mab', 'cd\x1b[39m']);
});
