import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseEnv } from 'node:util';
import { expect, test } from 'vitest';
import { ConfigError, formatProblem } from '../../src/config/config-problem.ts';
import { withDotenv } from '../../src/config/dotenv.ts';

/** What a file adds to the environment, or its problems. */
function read(text: string, env: Record<string, string> = {}): unknown {
  const directory = mkdtempSync(join(tmpdir(), 'walpost-dotenv-'));
  try {
    writeFileSync(join(directory, '.env'), text);
    return withDotenv(env, directory).env;
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(formatProblem);
  } finally {
    rmSync(directory, { recursive: true });
  }
}

const refusal = (line: number): string =>
  `.env:${line}:1: a # without a blank before it would cut the value; put the value in single quotes`;

test.each([
  ['A=ab#cd', 1],
  ['# first\n\nexport A = ab#cd', 3],
  ['A=#cd', 1],
  ['A=ab#cd # a comment', 1],
  ['B="two\nlines"\r\nA=ab#cd\r\n', 3],
])('%j is refused with its line, and not shown', (text, line) => {
  expect(read(text)).toEqual([refusal(line)]);
});

test.each([
  ['A=ab # a comment', 'ab'],
  ['A= # a comment', ''],
  ["A='ab#cd'", 'ab#cd'],
  ['A="ab#cd" # a comment#', 'ab#cd'],
  ['A=`ab#cd`', 'ab#cd'],
  ['A="first\nX=ab#cd\n"', 'first\nX=ab#cd\n'],
  ['# X=ab#cd\nA=b', 'b'],
])('%j is read whole', (text, value) => {
  expect(parseEnv(text)).toEqual({ A: value });
  expect(read(text)).toEqual({ A: value });
});

test('a line that the environment replaces is not judged', () => {
  expect(read('A=ab#cd\nB=c', { A: 'whole#value' })).toEqual({ A: 'whole#value', B: 'c' });
});
