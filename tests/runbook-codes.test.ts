/** The sections of the runbook for error codes: each code that stops or degrades a running service has one, with its output. */
import { existsSync, readFileSync } from 'node:fs';
import { expect, test } from 'vitest';
import { ERROR_CODES, type ErrorCode } from '../src/errors.ts';

const read = (path: string): string => readFileSync(new URL(`../${path}`, import.meta.url), 'utf8');

interface Section {
  readonly heading: string;
  readonly codes: readonly string[];
  readonly text: string;
}

const sections: readonly Section[] = read('docs/runbook.md')
  .split(/^## /m)
  .slice(1)
  .map((text) => {
    const heading = text.split('\n')[0] ?? '';
    return { heading, codes: heading.split(', '), text };
  })
  .filter(({ codes }) => codes.every((code) => /^[A-Z]+(_[A-Z]+)*$/.test(code)));

/** As GitHub makes it of a heading of codes. */
const anchorOf = (heading: string): string => heading.toLowerCase().replaceAll(',', '').replaceAll(' ', '-');

/** The codes in the first cells of the three tables, with the links they carry. */
function listed(): readonly { readonly code: string; readonly anchor: string | undefined }[] {
  const [, tables = ''] =
    /## walpost goes on by itself\n([^]*)\n## Wrong configuration/.exec(read('docs/errors.md')) ?? [];
  const cells = tables.split('\n').flatMap((line) => (line.startsWith('| ') ? [line.split(' | ')[0] ?? ''] : []));
  return cells.flatMap((cell) =>
    [...cell.matchAll(/`([A-Z][A-Z_]+)`(?:\]\(runbook\.md#([\w-]+)\))?/g)].map(([, code = '', anchor]) => ({
      code,
      anchor,
    })),
  );
}

test('each code that stops or degrades a service has one section, and errors.md leads there', () => {
  const named = sections.flatMap(({ codes }) => codes);
  expect(listed().length).toBeGreaterThan(60);
  expect(new Set(named)).toEqual(
    new Set([...listed().map(({ code }) => code), 'TRACING_UNAVAILABLE', 'CONFIG_INVALID']),
  );
  expect(named).toHaveLength(new Set(named).size);
  const expected = new Map(sections.flatMap(({ codes, heading }) => codes.map((code) => [code, anchorOf(heading)])));
  expect(listed().filter(({ code, anchor }) => anchor !== expected.get(code))).toEqual([]);
});

/** What a command prints: the code, and below it the sentence. */
function outputs(text: string): ReadonlyMap<string, string> {
  const [, block = ''] = /```text\n([^]*?)```/.exec(text) ?? [];
  const printed = [...block.matchAll(/^([A-Z_]+)\n((?: {2}.+\n)+)/gm)];
  return new Map(printed.map(([, code = '', said = '']) => [code, said.replace(/\s+/g, ' ').trim()]));
}

test.each(sections)('$heading: shows the output of each code, as the program words it', ({ codes, text }) => {
  const printed = outputs(text);
  expect([...printed.keys()]).toEqual(codes);
  for (const [code, said] of printed) {
    if (code === 'CONFIG_INVALID') continue; // its problems are printed in place of the sentence
    expect(said.startsWith(ERROR_CODES[code as ErrorCode].cause), `${code}: ${said}`).toBe(true);
  }
});

test.each(sections)('$heading: names tests that are there, and that know each code', ({ codes, text }) => {
  const tests = [...text.matchAll(/<!-- (tests\/\S+): (.+?) -->/g)].map(([, file = '', name = '']) => ({ file, name }));
  expect(tests.length).toBeGreaterThan(0);
  const missing = tests.filter(
    ({ file, name }) => !existsSync(new URL(`../${file}`, import.meta.url)) || !read(file).includes(name),
  );
  expect(missing).toEqual([]);
  const known = tests.map(({ file }) => read(file)).join('\n');
  expect(codes.filter((code) => !known.includes(code))).toEqual([]);
});

test('each code without a section is in a group, in the words of the program', () => {
  const own = new Set(sections.flatMap(({ codes }) => codes));
  const others = Object.entries(ERROR_CODES).filter(([code]) => !own.has(code));
  expect(others.length).toBeGreaterThan(15);
  const lines = read('docs/runbook.md').split('\n');
  const told = ([code, { cause }]: (typeof others)[number]): boolean =>
    lines.some((line) => line.startsWith(`- \`${code}\`: ${cause} `));
  expect(others.filter((entry) => !told(entry)).map(([code]) => code)).toEqual([]);
});

test('the links of the rules become absolute as monitoring.md says', () => {
  const [, from = '', to = ''] = /^sed 's#(.+)#(.+)#' deploy/m.exec(read('docs/monitoring.md')) ?? [];
  const rules = read('deploy/prometheus/rules.yaml').replaceAll(from, to);
  const links = [...rules.matchAll(/runbook_url: (.+)$/gm)].map(([, link = '']) => link);
  expect(links.length).toBeGreaterThan(20);
  expect(links.filter((link) => !/^https:\/\/wiki\.example\.com\/walpost\/runbook\.md#\w+$/.test(link))).toEqual([]);
});

test('the section that an alert of Prometheus names is there', () => {
  const headings = [...read('docs/runbook.md').matchAll(/^## (.+)$/gm)].map(([, heading]) => heading?.toLowerCase());
  const anchors = [...read('deploy/prometheus/rules.yaml').matchAll(/runbook_url: docs\/runbook\.md#(\S+)/g)];
  expect(anchors.length).toBeGreaterThan(20);
  expect(anchors.map(([, anchor]) => anchor).filter((anchor) => !headings.includes(anchor))).toEqual([]);
});
