/** Each configuration in the docs is read: a key that is misspelt there, or no longer known, is found. */
import { cpSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { parse, stringify } from 'yaml';
import { ConfigError } from '../../src/config/config-problem.ts';
import { loadConfig } from '../../src/config/load-config.ts';

const ROOT = join(import.meta.dirname, '../..');
const OPTIONS = new Set([
  'database',
  'source',
  'sinks',
  'routes',
  'delivery',
  'batching',
  'prune',
  'http',
  'live',
  'alerts',
  'roles',
  'memory',
]);
/** What some of them name by a relative path, which counts from the working directory. */
const FILES = { 'slack/order.liquid': '[{"type": "divider"}]', 'pagerduty.liquid': '{}' };
const SCHEMES: Readonly<Record<string, string>> = {
  DATABASE_URL: 'postgres://localhost/app',
  INBOX_DATABASE_URL: 'postgres://localhost/app',
  REDIS_URL: 'redis://localhost',
  SMTP_URL: 'smtps://me:word@mail.example.com',
};
const SECRET = 'whsec_YSBzZWNyZXQgb2YgeW91ciBvd24sIDI0IGJ5dGVz';

type Options = Record<string, unknown> & {
  readonly sinks?: Record<string, { readonly type?: string }>;
  readonly routes?: readonly { readonly to: readonly string[] }[];
};

const blocks = [
  'README.md',
  ...readdirSync(join(ROOT, 'docs'), { recursive: true }).map((name) => `docs/${String(name)}`),
]
  .filter((name) => name.endsWith('.md'))
  .flatMap((name) => configurationsIn(name).map((options, at) => ({ where: `${name}, ${at + 1}`, options })));

function configurationsIn(page: string): readonly Options[] {
  const text = readFileSync(join(ROOT, page), 'utf8');
  return [...text.matchAll(/^( *)```ya?ml\n([\s\S]*?)^ *```/gm)]
    .map(([, indent = '', body = '']): unknown => parse(body.replaceAll(new RegExp(`^${indent}`, 'gm'), '')))
    .filter(isConfiguration);
}

function isConfiguration(block: unknown): block is Options {
  return typeof block === 'object' && block !== null && Object.keys(block).every((key) => OPTIONS.has(key));
}

/** What a block leaves out, so that only what it says can be wrong. */
function completed(options: Options): string {
  const routes = options.routes ?? [{ to: Object.keys(options.sinks ?? { out: {} }) }];
  const named = routes.flatMap(({ to }) => to);
  const sinks = { ...Object.fromEntries(named.map((name) => [name, { type: 'discard' }])), ...options.sinks };
  return stringify({ database: { url: 'postgres://localhost/app' }, ...options, sinks, routes });
}

function environmentOf(text: string): Record<string, string> {
  const names = [...text.matchAll(/\$\{(\w+)/g)].map(([, name = '']) => name);
  const valueOf = (name: string): string => SCHEMES[name] ?? (name.endsWith('URL') ? 'https://a.example.com' : SECRET);
  return Object.fromEntries(names.map((name) => [name, valueOf(name)]));
}

function problemsOf(options: Options): readonly string[] {
  const folder = mkdtempSync(join(tmpdir(), 'walpost-docs-yaml-'));
  try {
    mkdirSync(join(folder, 'slack'));
    for (const [name, text] of Object.entries(FILES)) writeFileSync(join(folder, name), text);
    cpSync(join(ROOT, 'examples/mails'), join(folder, 'mails'), { recursive: true });
    const text = completed(options).replaceAll(
      /(?<=[: "])(?:\.\/)?(mails|slack\/|pagerduty)(?=[\w./]*$)/gm,
      `${folder}/$1`,
    );
    const path = join(folder, 'walpost.yaml');
    writeFileSync(path, text);
    loadConfig({ path, env: environmentOf(text) });
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ path, message }) => `${path}: ${message}`);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test('there are many', () => {
  expect(blocks.length).toBeGreaterThan(25);
});

test.each(blocks)('$where', ({ options }) => {
  expect(problemsOf(options)).toEqual([]);
});
