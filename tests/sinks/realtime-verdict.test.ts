import { expect, test } from 'vitest';
import { realtimeVerdict } from '../../src/sinks/realtime/realtime-verdict.ts';

const kindOf = (body: string): string =>
  realtimeVerdict({ status: 422, body, answer: undefined, retryAfter: undefined }).kind;

const LONG = 'x'.repeat(9_000);

test.each([
  ['unavailable', { message: 'The database is starting' }],
  ['unavailable', { message: LONG }],
  ['unavailable', { code: 1, message: `"errors": ${LONG}` }],
  ['unavailable', { message: 'x', details: { errors: ['a'] } }],
  ['failed', { errors: { payload: ['is too large'] } }],
  ['failed', { errors: { payload: [LONG] } }],
  ['failed', { errors: { message: [LONG] } }],
  ['failed', { errors: [{ message: LONG }] }],
  ['failed', { message: 'x', errors: {} }],
  ['failed', { detail: LONG }],
])('the verdict is %s whatever the length of the answer', (kind, answer) => {
  const whole = JSON.stringify(answer);
  expect(kindOf(whole)).toBe(kind);
  // As much as is read of an answer.
  expect(kindOf(whole.slice(0, 8 * 1024))).toBe(kind);
});

test.each(['', 'no JSON', '"message":', '[{"message":"x"}]', '{'])('%j is about the message', (body) => {
  expect(kindOf(body)).toBe('failed');
});
