import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import {
  ERROR_TABLE,
  MAX_RETRY_AFTER,
  parseRetryAfter,
  STATUS_TABLE,
  verdictOfAnswer,
  verdictOfError,
} from '../../src/sinks/http/http-verdict.ts';

const answer = { body: '', answer: undefined, retryAfter: undefined };
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

test('the reason is ours, with the status; what was said stands beside it; a 5xx did answer', () => {
  expect(verdictOfAnswer({ ...answer, status: 422, body: 'x', answer: 'amount is missing' })).toEqual({
    kind: 'failed',
    reason: 'the destination answered 422 Unprocessable Entity',
    code: 'HTTP_422',
    answer: 'amount is missing',
  });
  expect(verdictOfAnswer({ ...answer, status: 503, retryAfter: 5000 })).toEqual({
    kind: 'unavailable',
    reason: 'the destination answered 503 Service Unavailable',
    code: 'HTTP_503',
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
  const reason = 'the destination refused the connection (ECONNREFUSED)';
  expect(verdictOfError(error)).toEqual({ kind: 'unavailable', reason, code: 'ECONNREFUSED' });
  expect(verdictOfError(new TypeError('x', { cause: error }))).toEqual({
    kind: 'unavailable',
    reason,
    code: 'ECONNREFUSED',
  });
  const endsWith = (end: string) => ({ reason: `the destination could not be asked (${end})` });
  expect(verdictOfError(new TypeError('secret'))).toMatchObject(endsWith('TypeError'));
  expect(verdictOfError('secret')).toMatchObject(endsWith('string'));
  expect(verdictOfError({ code: 'ERR_INVALID_CHAR', message: 'Bearer secret' })).toMatchObject(
    endsWith('ERR_INVALID_CHAR'),
  );
  expect(verdictOfError(Object.assign(new TypeError(), { code: 'in "Bearer secret"' }))).toMatchObject(
    endsWith('TypeError'),
  );
});

test('docs/delivery.md prints both tables', () => {
  const page = readFileSync(new URL('../../docs/delivery.md', import.meta.url), 'utf8').replace(/ +/g, ' ');
  for (const { statuses, verdict, why } of STATUS_TABLE)
    expect(page).toContain(`| ${statuses} | \`${verdict}\` | ${why} |`);
  for (const [code, sentence] of Object.entries(ERROR_TABLE)) expect(page).toContain(`| \`${code}\` | ${sentence} |`);
});
