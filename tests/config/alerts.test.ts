import { expect, test } from 'vitest';
import { loadConfigWithSources } from '../../src/config/load-config.ts';
import { effectiveYaml } from '../../src/config/effective-config.ts';
import { ConfigFile, configOf, LEAST, problemsOf } from '../support/config-file.ts';

const SECRET = 'whsec_hunter2hunter2hunter2hunter2hunter2';
const withAlerts = (alerts: string): string => `${LEAST}alerts: { ${alerts} }\n`;

test.each<[string, string, string]>([
  ['no secret', 'url: https://example.com/hunter2', 'alerts.secret'],
  ['no address', `secret: ${SECRET}`, 'alerts.url'],
  ['a secret that no receiver has', 'url: https://example.com/hunter2, secret: whsec_short', 'alerts.secret'],
  ['a private address', `url: https://10.0.0.1/hunter2, secret: ${SECRET}`, 'alerts.url: is a private address'],
  [
    'a header of ours',
    `url: https://example.com, secret: ${SECRET}, headers: { webhook-id: a }`,
    'alerts.headers.webhook-id',
  ],
  [
    'a proxy that is none',
    `url: https://example.com, secret: ${SECRET}, proxy: ftp://a`,
    'alerts.proxy: must be a URL',
  ],
])('%s is refused, with its line and no secret', (_name, alerts, expected) => {
  const problems = problemsOf(withAlerts(alerts));
  expect(problems).toEqual([expect.stringContaining(expected)]);
  expect(problems.join()).toMatch(/walpost\.yaml:4/);
  expect(problems.join()).not.toContain('hunter2');
});

test('the usual values, and the proxy of the environment', () => {
  const text = withAlerts(`url: https://example.com/a, secret: ${SECRET}`);
  const { alerts } = configOf(text, { env: { HTTPS_PROXY: 'http://proxy.example:3128' } });
  expect(alerts).toMatchObject({ min_severity: 'warning', every: 15_000, proxy: 'http://proxy.example:3128' });
  expect(configOf(LEAST).alerts).toBeUndefined();
});

test('what is in effect is shown without its secrets', () => {
  using file = new ConfigFile(
    withAlerts(`url: https://example.com/hunter2, secret: ${SECRET}, headers: { a: hunter2 }`),
  );
  const { draft } = loadConfigWithSources({ path: file.path, env: {} });
  const shown = effectiveYaml(draft);
  expect(shown).toMatch(/^ {2}secret: "\(a secret\)"/m);
  expect(shown).not.toContain('hunter2');
});
