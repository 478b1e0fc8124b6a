/** A remedy that points to a page points to one that its reader has. */
import { existsSync, readFileSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { expect, test } from 'vitest';
import { ERROR_CODES, type ErrorCode, WalpostError } from '../src/errors.ts';

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');

test('a remedy names the file, and a heading of it', () => {
  const pointing = (Object.keys(ERROR_CODES) as ErrorCode[]).filter((code) => /\.md\b/.test(ERROR_CODES[code].remedy));
  expect(pointing.length).toBeGreaterThan(5);
  for (const code of pointing) {
    const { remedy } = new WalpostError(code);
    const [, path = '', section] = /(\S+\.md)(?:: ([a-z ]+))?/.exec(remedy) ?? [];
    expect({ remedy, there: isAbsolute(path) && existsSync(path) }).toEqual({ remedy, there: true });
    const headings = readFileSync(path, 'utf8').match(/^#+ .+$/gm) ?? [];
    const found = headings.some((heading) => heading.toLowerCase().endsWith(` ${section}`));
    expect({ remedy, found: section === undefined || found }).toEqual({ remedy, found: true });
  }
});

test('the image has the pages', () => {
  expect(read('Dockerfile')).toContain('COPY docs/*.md ./docs/');
  expect(read('.dockerignore')).toContain('!docs/*.md');
});
