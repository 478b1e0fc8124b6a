import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect, test } from 'vitest';
import { sourceFiles } from './support/import-graph.ts';

const root = join(import.meta.dirname, '..');
const read = (path: string): string => readFileSync(join(root, path), 'utf8');
const sources = ['src', 'packages/client/src', 'packages/consumer/src', 'packages/vocabulary'].flatMap((place) =>
  sourceFiles(join(root, place)).map((file) => `${place}/${file}`),
);
const tracked = execFileSync('git', ['ls-files', '-z'], { cwd: root, encoding: 'utf8' })
  .split('\0')
  .filter((path) => path !== '' && existsSync(join(root, path)));

/** The lines of the files that match, as `file:line`. */
function linesThat(match: RegExp, paths: readonly string[]): string[] {
  return paths.flatMap((path) =>
    read(path)
      .split('\n')
      .flatMap((line, index) => (match.test(line) ? [`${path}:${index + 1}`] : [])),
  );
}

test('no source file has more than 400 lines', () => {
  expect(sources.length).toBeGreaterThan(10);
  expect(sources.filter((path) => read(path).split('\n').length > 401)).toEqual([]);
});

test('no type escape in src and the packages', () => {
  const code = /^(?!\s*(?:\/\*|\*|\/\/)).*(?:\bas any\b|: any\b|<any>|\bany\[\])/;
  const comments = /@ts-(?:ignore|nocheck|expect-error)|oxlint-disable|eslint-disable/;
  expect([...linesThat(code, sources), ...linesThat(comments, sources)]).toEqual([]);
});

test('no test is left out or singled out', () => {
  const tests = tracked.filter((path) => path.endsWith('.test.ts') && path !== 'tests/style.test.ts');
  expect(linesThat(/\b(test|it|describe)\.(only|skip|todo)\b/, tests)).toEqual([]);
});

test('no connection of a test without a handler for its errors', () => {
  const tests = tracked.filter((path) => /^tests\/.*\.ts$/.test(path) && path !== 'tests/support/client.ts');
  expect(linesThat(/new pg\.(Client|Pool)\(/, tests)).toEqual([]);
});

test('no receiver of a test that awaits a body which may never come to its end', () => {
  const tests = tracked.filter((path) => /^tests\/.*\.ts$/.test(path) && path !== 'tests/support/request-body.ts');
  expect(linesThat(/(void|await) request\.toArray/, tests)).toEqual([]);
});

test('no path of one machine in the tree', () => {
  const text = tracked.filter((path) => !/^package-lock\.json$|\.(png|ico|gif)$/.test(path));
  const homes = new RegExp(
    ['/work', '/farm', '/home/[a-z]+', '/Users/[a-z]+'].map((path) => `(?<![\\w.}])${path}/`).join('|'),
  );
  expect(
    linesThat(
      homes,
      text.filter((path) => path !== 'tests/style.test.ts'),
    ),
  ).toEqual([]);
});

test('every relative link in the documentation leads to a file', () => {
  const pages = tracked.filter((path) => path.endsWith('.md'));
  expect(pages).toContain('README.md');
  const broken = pages.flatMap((page) =>
    [...read(page).matchAll(/\]\((?!https?:|mailto:|#)([^)#\s]+)(?:#[^)\s]*)?\)/g)]
      .map((match) => match[1] ?? '')
      .filter((link) => !existsSync(join(root, dirname(page), link)))
      .map((link) => `${page} -> ${link}`),
  );
  expect(broken).toEqual([]);
});
