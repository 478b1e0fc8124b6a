/** `${file:/run/secrets/x}` in walpost.yaml. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { configOf, ConfigFile, LEAST, problemsOf } from '../support/config-file.ts';

const SECRET = 'a-token-of-16-chars';

function secretFile(text: string) {
  const holder = new ConfigFile('');
  const path = join(holder.directory, 'token');
  writeFileSync(path, text);
  return { path, [Symbol.dispose]: () => holder[Symbol.dispose]() };
}

test.each([SECRET, `${SECRET}\n`, `${SECRET}\r\n`])('the text of the file, without its last line break: %j', (text) => {
  using file = secretFile(text);
  expect(configOf(`${LEAST}http: { token: \${file:${file.path}} }\n`).http.token).toBe(SECRET);
  expect(configOf(`${LEAST}http:\n  token: "\${file:${file.path}}"\n`).http.token).toBe(SECRET);
});

test('a part of a text, beside variables', () => {
  using file = secretFile('hunter2\n');
  const text = LEAST.replace('postgres://localhost/app', () => `"postgres://\${U}:\${file:${file.path}}@h/app"`);
  expect(configOf(text, { env: { U: 'app' } }).database.url).toBe('postgres://app:hunter2@h/app');
});

test('what cannot be read, is empty, or is named by half a path is a problem at its place', () => {
  using empty = secretFile('\n');
  const problem = (path: string): string[] => problemsOf(`${LEAST}http: { token: "\${file:${path}}" }\n`);
  expect(problem('/no/such/file')).toEqual([
    'walpost.yaml:4:16 http.token: needs the file /no/such/file, which cannot be read (ENOENT)',
  ]);
  expect(problem(empty.path)).toEqual([`walpost.yaml:4:16 http.token: needs the file ${empty.path}, which is empty`]);
  expect(problem('secrets/x')).toEqual([
    'walpost.yaml:4:16 http.token: names a file by a path that is not absolute; write ${file:/run/secrets/x}',
  ]);
});

test('what it holds is not shown', () => {
  using file = secretFile(`short`);
  const problems = problemsOf(`${LEAST}http: { token: "\${file:${file.path}}" }\n`);
  expect(problems).toEqual([expect.stringContaining('http.token: must have at least 16 characters')]);
  expect(problems.join('')).not.toContain('short');
});
