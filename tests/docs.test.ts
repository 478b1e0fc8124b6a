import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ERROR_CODES } from '../src/errors.ts';
import { Metrics } from '../src/observe/metrics.ts';
import { namesTest, testTitles } from './support/test-titles.ts';

const page = (name: string): string => readFileSync(new URL(`../docs/${name}`, import.meta.url), 'utf8');

test('a link of a page leads to a file, and to a heading that is there', () => {
  const root = new URL('../', import.meta.url);
  const broken = pagesOf(root).flatMap((url) => {
    const links = [...readFileSync(url, 'utf8').matchAll(/\]\(([^)\s]+)\)/g)].map(([, link]) => link ?? '');
    const relative = links.filter((link) => !/^[a-z]+:/.test(link));
    return relative
      .filter((link) => !leadsSomewhere(new URL(link, url)))
      .map((link) => `${url.pathname.slice(root.pathname.length)}: ${link}`);
  });
  expect(broken).toEqual([]);
});

function pagesOf(root: URL): URL[] {
  const docs = readdirSync(new URL('docs', root), { recursive: true }).map((name) => `docs/${String(name)}`);
  const pages = docs.filter((name) => name.endsWith('.md'));
  return ['README.md', 'CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md', ...pages].map((name) => new URL(name, root));
}

function leadsSomewhere(target: URL): boolean {
  const { hash } = target;
  target.hash = '';
  if (!existsSync(target)) return false;
  if (hash === '') return true;
  const headings = [...readFileSync(target, 'utf8').matchAll(/^#+ (.+)$/gm)].map(([, text]) => anchorOf(text ?? ''));
  return headings.includes(hash.slice(1));
}

/** As GitHub makes it of a heading. */
function anchorOf(heading: string): string {
  return heading
    .toLowerCase()
    .replace(/[^\w\- ]/g, '')
    .replaceAll(' ', '-');
}

test('docs/errors.md has every code, and no other', () => {
  const named = [...page('errors.md').matchAll(/`([A-Z]+(?:_[A-Z0-9]+)*)`/g)].map(([, code]) => code ?? '');
  const codes = Object.keys(ERROR_CODES);
  expect(codes.filter((code) => !named.includes(code))).toEqual([]);
  expect(named.filter((name) => name !== 'UNEXPECTED' && !codes.includes(name) && name.includes('_'))).toEqual([]);
});

test.each([
  ['What can keep rows out of the stream, or stop it', 60],
  ['When the table or the publication changes', 15],
])('each row of docs/stream.md, %s, names tests that are there and that run', (heading, least) => {
  const [, section = ''] = page('stream.md').split(`## ${heading}`);
  const rows = (section.split('\n## ')[0] ?? '')
    .split('\n')
    .filter((line) => line.startsWith('| '))
    .slice(2);
  expect(rows.length).toBeGreaterThanOrEqual(least);
  const wrong = rows.flatMap((row) => {
    const named = [...row.matchAll(/<!-- (tests\/\S+): (.+?) -->/g)];
    if (named.length === 0) return [`no test: ${row}`];
    return named.flatMap(([comment, file = '', name = '']) => (runs(file, name) ? [] : [comment]));
  });
  expect(wrong).toEqual([]);
});

function runs(file: string, name: string): boolean {
  const path = new URL(`../${file}`, import.meta.url);
  if (!existsSync(path)) return false;
  const found = testTitles(readFileSync(path, 'utf8'));
  return !found.skips && namesTest(found, name);
}

test('docs/monitoring.md has every metric, and no other', async () => {
  const served = [...(await new Metrics().render()).matchAll(/^# TYPE (walpost_\w+)/gm)].map(([, name]) => name ?? '');
  const named = [...page('monitoring.md').matchAll(/`(walpost_\w+)(?:\{[^`]*)?`/g)].map(([, name]) => name ?? '');
  expect(served.length).toBeGreaterThan(15);
  expect(served.filter((name) => !named.includes(name))).toEqual([]);
  const table = page('monitoring.md')
    .split('\n')
    .filter((line) => line.startsWith('| `walpost_'))
    .flatMap((line) => [...(line.split('|')[1] ?? '').matchAll(/`(walpost_\w+)`/g)].map(([, name]) => name ?? ''));
  expect(table.filter((name) => !served.includes(name))).toEqual([]);
});

test('each situation at night names a test that is there', () => {
  const rows = [
    ...page('evidence/night.md').matchAll(/^\| ([^|]+) \|[^|]+\|( [^|]+ )\| `(tests\/[^`]+)`: ([^|]+) \|$/gm),
  ];
  expect(rows.length).toBeGreaterThanOrEqual(40);
  expect(page('evidence/night.md').match(/^\| .*`tests\//gm)).toHaveLength(rows.length);
  const shows = /^ cause, subject(, remedy)?, clears +$/;
  expect(rows.filter(([, , shown = '']) => !shows.test(shown)).map(([, situation]) => situation)).toEqual([]);
  const wrong = rows.filter(([, , , file = '', name = '']) => !isTitle(file, name.trim()));
  expect(wrong.map(([, situation]) => situation)).toEqual([]);
  const withoutRemedy = rows.filter(([, , shown = '']) => !shown.includes('remedy'));
  expect(withoutRemedy.map(([, situation = '']) => situation.trim())).toEqual([
    'slot dropped while it streams',
    'two processes',
    'leader frozen, a standby takes over',
    'configuration changed',
  ]);
});

/** Of a test; or the symptom of a scene, or the key of a case, each of which is a test. */
function isTitle(file: string, name: string): boolean {
  const path = new URL(`../${file}`, import.meta.url);
  if (!existsSync(path)) return false;
  const text = readFileSync(path, 'utf8');
  if (file.includes('/scenes/')) return text.includes(`symptom: '${name}'`);
  return namesTest(testTitles(text), name) || text.includes(`\n  '${name}': {\n    code: `);
}

test('a table has one head', () => {
  const twice = pagesOf(new URL('../', import.meta.url)).filter((url) =>
    /^\|(?: *:?-+:? *\|)+\n(?:\|.*\n)*\|(?: *:?-+:? *\|)+$/m.test(readFileSync(url, 'utf8')),
  );
  expect(twice.map(({ pathname }) => pathname)).toEqual([]);
});

test('each line of the five systems names tests that are there, or says that it is open', () => {
  const rows = page('guides/README.md')
    .split('\n')
    .filter((line) => line.startsWith('| ') && !/^\| (?:-+|asked for) /.test(line));
  expect(rows.length).toBeGreaterThanOrEqual(50);
  const shown = rows.map((row) => [...row.matchAll(/`(tests\/[^`]+)`: (.+?)(?=<br>| +\|$)/g)]);
  const bare = rows.filter((row, n) => shown[n]?.length === 0 && !/\*\*open\*\*|npm run|soak/.test(row));
  expect(bare).toEqual([]);
  const wrong = shown.flat().filter(([, file = '', name = '']) => {
    const path = new URL(`../${file}`, import.meta.url);
    return !existsSync(path) || !readFileSync(path, 'utf8').includes(name.trim());
  });
  expect(wrong.map(([text]) => text)).toEqual([]);
});
