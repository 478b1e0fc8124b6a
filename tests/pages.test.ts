/** A remedy that points to a page points to one that its reader has. */
import { existsSync, readFileSync } from 'node:fs';
import { isAbsolute } from 'node:path';
import { expect, test } from 'vitest';
import { ERROR_CODES, type ErrorCode, WalpostError } from '../src/errors.ts';
import { withPages } from '../src/pages.ts';

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

test('a page with a hyphen in its name is one too', () => {
  expect(isAbsolute(withPages('docs/how-it-works.md'))).toBe(true);
});

test('the image has the pages', () => {
  for (const pages of ['docs/*.md', 'docs/sinks/*.md', 'docs/guides/*.md']) {
    expect(read('Dockerfile')).toContain(`COPY ${pages} ./${pages.replace('*.md', '')}`);
    expect(read('.dockerignore')).toContain(`!${pages}`);
  }
});

test('the image has every optional client, in the version that is tested', () => {
  const own = JSON.parse(read('package.json')) as Record<string, Record<string, string>>;
  const image = JSON.parse(read('deploy/clients/package.json')) as Record<string, Record<string, string>>;
  const clients = Object.keys(own['peerDependencies'] ?? {});
  expect(clients.length).toBeGreaterThan(5);
  const newer = JSON.parse(read('tests/node22/package.json')) as Record<string, Record<string, string>>;
  const tested = { ...newer['dependencies'], ...own['devDependencies'] };
  expect(image['dependencies']).toEqual(Object.fromEntries(clients.map((name) => [name, tested[name]])));
  const pins = Object.entries(own['overrides'] ?? {});
  for (const [name, version] of Object.entries(image['overrides'] ?? {})) expect(pins).toContainEqual([name, version]);
});
