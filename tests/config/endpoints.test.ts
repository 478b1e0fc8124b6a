import { expect, test } from 'vitest';
import { crossCheck } from '../../src/config/cross-checks.ts';
import { disableAfter, loopbackWarnings } from '../../src/config/sinks/endpoint-checks.ts';
import { startProblems } from '../../src/config/start-checks.ts';

const DAY = 24 * 3_600_000;

/** What is said of a configuration with one webhook. */
function problemsOf(sink: object, more: object = {}): string[] {
  const config = { sinks: { customers: { type: 'webhook', ...sink } }, ...more };
  return [...crossCheck(config), ...startProblems(config)].map(({ path, message }) => `${path.join('.')} ${message}`);
}

test.each<[string, object, string]>([
  ['neither a URL nor endpoints', {}, 'sinks.customers.url is missing; or endpoints: true'],
  ['a URL of its own', { endpoints: true, url: 'https://example.com' }, 'sinks.customers.url does not go together'],
  ['a secret of its own', { endpoints: true, secret: 'long enough to be one' }, 'sinks.customers.secret does not go'],
  ['a preset', { endpoints: true, preset: 'n8n' }, 'sinks.customers.preset does not go together'],
  [
    'an order by entity',
    { endpoints: true, order: 'entity' },
    'sinks.customers.order must be left out beside endpoints',
  ],
  ['no order', { endpoints: true, order: 'none' }, 'sinks.customers.order must be left out beside endpoints'],
  ['private addresses', { endpoints: true, allow_private: true }, 'sinks.customers.allow_private never applies'],
  [
    'disable_after without endpoints',
    { url: 'https://example.com', disable_after: '1d' },
    'sinks.customers.disable_after is for endpoints: true',
  ],
  [
    'allow_loopback without endpoints',
    { url: 'https://example.com', allow_loopback: true },
    'sinks.customers.allow_loopback is for endpoints: true',
  ],
  [
    'more failure than rows are kept',
    { endpoints: true, disable_after: '72h' },
    'sinks.customers.disable_after must be below prune.retention',
  ],
])('%s is refused', (_name, sink, expected) => {
  const problems = problemsOf(sink);
  expect(problems).toHaveLength(1);
  expect(problems[0]).toContain(expected);
});

test('endpoints need nothing else, and rows that are not pruned are there for ever', () => {
  expect(problemsOf({ endpoints: true })).toEqual([]);
  expect(problemsOf({ endpoints: true, order: 'organization' })).toEqual([]);
  expect(problemsOf({ endpoints: true, disable_after: '71h' })).toEqual([]);
  expect(problemsOf({ endpoints: true, disable_after: '30d' }, { prune: { enabled: false } })).toEqual([]);
  expect(problemsOf({ endpoints: true, disable_after: '3d' }, { prune: { retention: '7d' } })).toEqual([]);
});

test('an endpoint is disabled after three days, and in any case before its rows are pruned', () => {
  expect(disableAfter({}, { enabled: true, retention: 7 * DAY })).toBe(3 * DAY);
  expect(disableAfter({}, { enabled: true, retention: 3 * DAY })).toBe(2 * DAY);
  expect(disableAfter({}, { enabled: false, retention: DAY })).toBe(3 * DAY);
  expect(disableAfter({ disable_after: DAY }, { enabled: true, retention: 3 * DAY })).toBe(DAY);
});

test('config check warns of endpoints on this machine', () => {
  const sinks = { one: { endpoints: true, allow_loopback: true }, two: { endpoints: true } };
  expect(loopbackWarnings(sinks).map(({ path }) => path.join('.'))).toEqual(['sinks.one.allow_loopback']);
});
