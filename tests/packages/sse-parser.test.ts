import { expect, test } from 'vitest';
import { SseParser } from '../../packages/consumer/src/subscribe/sse-parser.ts';

const LINES = [
  ': a comment',
  'retry: 1500',
  'id: 7',
  'event: job.done',
  'data: {"a":',
  'data:1}',
  '',
  'data: größe',
  '',
  'event: lost',
  '',
  'id',
  'data',
  'unknown: field',
  '',
  'id: bad\0',
  'data:  two blanks',
  '',
  'data: not complete',
];
const EXPECTED = [
  { event: 'job.done', data: '{"a":\n1}', id: '7' },
  { event: 'message', data: 'größe', id: '7' },
  { event: 'message', data: '', id: '' },
  { event: 'message', data: ' two blanks', id: '' },
];

test.each([
  ['\\n', '\n'],
  ['\\r', '\r'],
  ['\\r\\n', '\r\n'],
])('messages are read, wherever a stream with %s is cut', (_, lineBreak) => {
  const text = LINES.join(lineBreak);
  for (let cut = 0; cut <= text.length; cut += 1) {
    const parser = new SseParser();
    expect([...parser.push(text.slice(0, cut)), ...parser.push(text.slice(cut))]).toEqual(EXPECTED);
    expect(parser.retry).toBe(1500);
  }
  const parser = new SseParser();
  expect([...text].flatMap((character) => parser.push(character))).toEqual(EXPECTED);
});
