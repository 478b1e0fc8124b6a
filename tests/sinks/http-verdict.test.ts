import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  ERROR_TABLE,
  MAX_RETRY_AFTER,
  parseRetryAfter,
  STATUS_TABLE,
  verdictOfAnswer,
  verdictOfError,
} from '../../src/sinks/http-verdict.ts';

const answer = { host: 'example.com', excerpt: '', retryAfter: undefined };
const kindOf = (status: number): string => verdictOfAnswer({ ...answer, status }).kind;

test.each([
  [200, 'delivered'],
  [202, 'delivered'],
  [204, 'delivered'],
  [299, 'delivered'],
  [301, 'unavailable'],
  [307, 'unavailable'],
  [400, 'failed'],
  [401, 'unavailable'],
  [403, 'unavailable'],
  [404, 'unavailable'],
  [408, 'unavailable'],
  [409, 'failed'],
  [410, 'unavailable'],
  [413, 'failed'],
  [418, 'failed'],
  [422, 'failed'],
  [425, 'unavailable'],
  [429, 'unavailable'],
  [431, 'failed'],
  [500, 'unavailable'],
  [503, 'unavailable'],
  [599, 'unavailable'],
  [600, 'unavailable'],
  [999, 'unavailable'],
])('%i is %s', (status, kind) => {
  expect(kindOf(status)).toBe(kind);
});

test('the reason names host, status and what was said; a 5xx did answer', () => {
  expect(verdictOfAnswer({ ...answer, status: 422, excerpt: 'amount is missing' })).toEqual({
    kind: 'failed',
    reason: 'example.com answered 422 Unprocessable Entity: amount is missing',
  });
  expect(verdictOfAnswer({ ...answer, status: 503, retryAfter: 5000 })).toEqual({
    kind: 'unavailable',
    reason: 'example.com answered 503 Service Unavailable',
    retryAfter: 5000,
    answered: true,
  });
  expect(verdictOfAnswer({ ...answer, status: 429 })).not.toHaveProperty('answered');
});

describe('Retry-After', () => {
  const now = Date.parse('Fri, 20 Nov 2026 14:00:00 GMT');
  test.each([
    ['120', 120_000],
    [' 1 ', 1000],
    ['Fri, 20 Nov 2026 14:00:30 GMT', 30_000],
    ['99999999999999999999', MAX_RETRY_AFTER],
    ['Fri, 20 Nov 2099 14:00:00 GMT', MAX_RETRY_AFTER],
    ['0', undefined],
    ['-5', undefined],
    ['1.5', undefined],
    ['soon', undefined],
    ['', undefined],
    ['Fri, 20 Nov 2020 14:00:00 GMT', undefined],
    [undefined, undefined],
    [['7', '9'], 7000],
  ])('%j is %j ms', (header, expected) => {
    expect(parseRetryAfter(header, now)).toBe(expected);
  });
});

test('an error is told by its code, never by its message', () => {
  const error = Object.assign(new Error('connect https://example.com/secret'), { code: 'ECONNREFUSED' });
  const reason = 'example.com refused the connection (ECONNREFUSED)';
  expect(verdictOfError('example.com', error)).toEqual({ kind: 'unavailable', reason });
  expect(verdictOfError('example.com', new TypeError('x', { cause: error }))).toEqual({ kind: 'unavailable', reason });
  expect(verdictOfError('example.com', new TypeError('secret'))).toMatchObject({
    reason: expect.stringMatching(/\(TypeError\)$/),
  });
  expect(verdictOfError('example.com', 'secret')).toMatchObject({ reason: expect.stringMatching(/\(string\)$/) });
});

test('docs/delivery.md prints both tables', () => {
  const page = readFileSync(new URL('../../docs/delivery.md', import.meta.url), 'utf8').replace(/ +/g, ' ');
  for (const { statuses, verdict, why } of STATUS_TABLE)
    expect(page).toContain(`| ${statuses} | \`${verdict}\` | ${why} |`);
  for (const [code, sentence] of Object.entries(ERROR_TABLE)) expect(page).toContain(`| \`${code}\` | ${sentence} |`);
});
