import { expect, test } from 'vitest';
import { crossCheck } from '../../src/config/cross-checks.ts';

test('logical messages, which nothing reads yet, cannot be switched on', () => {
  const config = (messages: boolean) => ({ source: { messages }, sinks: { a: {} }, routes: [{ to: ['a'] }] });
  expect(crossCheck(config(true))).toMatchObject([{ path: ['source', 'messages'], input: true }]);
  expect(crossCheck(config(false))).toEqual([]);
});
