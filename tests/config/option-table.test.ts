import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { ConfigDraft } from '../../src/config/config-draft.ts';
import { configReference } from '../../src/config/config-reference.ts';
import { effectiveOptions, effectiveYaml } from '../../src/config/effective-config.ts';
import { applyEnvironment, environmentName } from '../../src/config/environment.ts';
import { configJsonSchema } from '../../src/config/json-schema.ts';
import { loadConfigWithSources } from '../../src/config/load-config.ts';
import { optionGroups } from '../../src/config/option-table.ts';
import { configSchema, optionsSchema } from '../../src/config/schema.ts';
import { ConfigFile, LEAST } from '../support/config-file.ts';

const root = join(import.meta.dirname, '../..');
const EXAMPLE_ENV = {
  DATABASE_URL: 'postgres://app:hunter2@localhost/app',
  SUPABASE_URL: 'https://example.supabase.co',
  SUPABASE_SERVICE_ROLE_KEY: 'hunter2',
  N8N_WEBHOOK_URL: 'https://n8n.example/webhook/hunter2',
  N8N_SECRET: 'whsec_hunter2hunter2hunter2hunter2',
};
const rows = optionGroups().flatMap((group) => group.rows);

test('docs/configuration.md says what the schema says (npm run docs:config writes it)', () => {
  expect(readFileSync(join(root, 'docs/configuration.md'), 'utf8')).toBe(configReference());
});

test('every option says what it is for', () => {
  expect(rows.length).toBeGreaterThan(40);
  expect(rows.filter((row) => row.description === '').map((row) => row.path)).toEqual([]);
});

test('every option has a name in the environment', () => {
  for (const { path } of rows) {
    const type = optionGroups()
      .find((group) => group.rows.some((row) => row.path === path))
      ?.title.split(' ')
      .at(-1);
    const parts = path.replace('<name>', 'one').replace('[]', '.0').split('.');
    const draft = new ConfigDraft('test');
    draft.root = { sinks: { one: { type } }, routes: [{}] };
    applyEnvironment(draft, optionsSchema, { [environmentName(parts)]: 'x' });
    expect(draft.problems).toEqual([]);
    expect(draft.places().map((place) => place.path.join('.'))).toEqual([parts.join('.')]);
  }
});

test('every default is one that the option itself allows', () => {
  const groups = new Map<string, Record<string, unknown>>();
  for (const { path, fallback } of rows) {
    const [section = '', key = '', ...deeper] = path.split('.');
    if (fallback === undefined || section.includes('sinks') || section.includes('[') || deeper.length > 0) continue;
    groups.set(section, { ...groups.get(section), [key]: fallback });
  }
  const alerts = { url: 'https://example.com', secret: 'hunter2hunter2hunter2' };
  const least = {
    database: { url: 'postgres://x' },
    sinks: { a: { type: 'stdout' } },
    routes: [{ to: ['a'] }],
    alerts,
  };
  const explicit = { ...Object.fromEntries(groups), ...least, alerts: { ...groups.get('alerts'), ...alerts } };
  expect(configSchema.parse(explicit)).toEqual(configSchema.parse(least));
});

describe('the example', () => {
  test('is valid', () => {
    const { config } = loadConfigWithSources({ path: join(root, 'examples/walpost.yaml'), env: EXAMPLE_ENV });
    expect(Object.keys(config.sinks)).toEqual(['live', 'n8n', 'log']);
  });

  test('is printed with sources and without secrets', () => {
    const path = join(root, 'examples/walpost.yaml');
    const { draft } = loadConfigWithSources({ path, env: EXAMPLE_ENV, overrides: { 'batching.window': '1s' } });
    const text = effectiveYaml(draft).replaceAll(path, 'walpost.yaml');
    expect(text).not.toContain('hunter2');
    expect(text).toMatch(/^ {2}url: "\(a secret\)" +# walpost\.yaml:\d+:\d+ \$\{DATABASE_URL\}$/m);
    expect(text).toMatch(/^ {2}window: 1s +# --set$/m);
    expect(text).toMatch(/^ {2}leading_edge: false +# default$/m);
    expect(text).toMatch(/^ {2}- match:\n {6}topic: cataloging +# walpost\.yaml:\d+:\d+$/m);
  });
});

test('a secret from the environment is masked, and a list of secrets as a whole', () => {
  using file = new ConfigFile(LEAST.replace('type: stdout', "type: webhook, url: 'http://h2', headers: { a: h2 }"));
  const { draft } = loadConfigWithSources({ path: file.path, env: { WALPOST__HTTP__TOKEN: 'h2h2h2h2h2h2h2h2' } });
  const options = effectiveOptions(draft);
  expect(JSON.stringify(options)).not.toContain('h2');
  expect(options).toContainEqual({ path: ['http', 'token'], value: '(a secret)', source: 'WALPOST__HTTP__TOKEN' });
});

test('the JSON Schema describes the file as written', () => {
  const schema = configJsonSchema();
  const text = JSON.stringify(schema);
  for (const own of ['"secret":true', '"kind":"', '"format":"']) expect(text).not.toContain(own);
  expect(schema).toMatchObject({ type: 'object', additionalProperties: false });
  const properties = schema['properties'] as Record<string, { properties: Record<string, unknown> }>;
  expect(properties['batching']?.properties['window']).toMatchObject({ default: '250ms' });
  expect(properties['http']?.properties['port']).toMatchObject({
    default: 9464,
    anyOf: [{ type: 'integer', minimum: 0, maximum: 65535 }, { type: 'string' }],
  });
  expect(properties['database']?.properties['url']).toMatchObject({ writeOnly: true });
});
