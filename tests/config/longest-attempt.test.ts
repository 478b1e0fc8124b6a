import { expect, test } from 'vitest';
import { longestAttempt } from '../../src/config/longest-attempt.ts';
import { configSchema } from '../../src/config/schema.ts';

const hook = { type: 'webhook', url: 'https://example.com/hook' };

test.each([
  ['the timeout of all', { out: { type: 'discard' } }, 5_000],
  ["a sink's own, shorter", { out: { ...hook, timeout: '1s' } }, 1_000],
  ['the longest of all sinks', { out: { ...hook, timeout: '1s' }, far: { ...hook, timeout: '1m' } }, 60_000],
  ['twice that, of a request for each event', { out: { ...hook, batch: false } }, 10_000],
])('%s', (_, sinks, expected) => {
  const [name = ''] = Object.keys(sinks);
  const config = configSchema.parse({
    database: { url: 'postgres://127.0.0.1/none' },
    delivery: { timeout: '5s' },
    sinks,
    routes: [{ to: [name] }],
  });
  expect(longestAttempt(config)).toBe(expected);
});

test('a timer can wait for it: a sink takes no longer timeout than delivery.timeout does', () => {
  const parse = (timeout: string) =>
    configSchema.safeParse({
      database: { url: 'postgres://127.0.0.1/none' },
      delivery: { timeout },
      sinks: { out: { type: 'discard', timeout } },
      routes: [{ to: ['out'] }],
    });
  expect(parse('1d').success).toBe(true);
  expect(
    parse('25h')
      .error?.issues.map(({ path }) => path.join('.'))
      .toSorted(),
  ).toEqual(['delivery.timeout', 'sinks.out.timeout']);
});
