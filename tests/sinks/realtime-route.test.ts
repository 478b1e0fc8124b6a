import { describe, expect, test } from 'vitest';
import { broadcastPath, messagePath, nameProblem } from '../../src/sinks/realtime/realtime-route.ts';

test.each([
  ['https://abc.supabase.co', '/realtime/v1/api/broadcast'],
  ['https://abc.supabase.co/', '/realtime/v1/api/broadcast'],
  ['https://abc.supabase.co/realtime/v1/', '/realtime/v1/api/broadcast'],
  ['https://gateway.example.com/live', '/live/api/broadcast'],
  ['http://realtime.example.com:4000/api', '/api/broadcast'],
])('the broadcast API of %s is at %s', (url, path) => {
  expect(broadcastPath(new URL(url))).toBe(path);
});

test('names are one step of the path each, whatever they hold', () => {
  const path = messagePath('/api/broadcast', { channel: 'a/b?c#d é', event: '100%/..', isPrivate: true });
  expect(path).toBe('/api/broadcast/a%2Fb%3Fc%23d%20%C3%A9/events/100%25%2F..?private=true');
  const url = new URL(path, 'http://localhost');
  expect(url.pathname.split('/').slice(3).map(decodeURIComponent)).toEqual(['a/b?c#d é', 'events', '100%/..']);
  expect(messagePath('/x', { channel: 'c', event: 'e', isPrivate: false })).toBe('/x/c/events/e');
});

describe('names that Realtime could never carry', () => {
  test.each([
    ['', 'e', 'the channel name is empty'],
    ['c', '', 'the event name is empty'],
    ['..', 'e', 'the channel name is ..'],
    ['c', '.', 'the event name is .'],
    ['c'.repeat(247), 'e', 'the channel name is longer than 246 bytes'],
    ['c', 'é'.repeat(128), 'the event name is longer than 255 bytes'],
  ])('%j and %j', (channel, event, problem) => {
    expect(nameProblem(channel, event)).toBe(problem);
  });

  test('and the longest that it can', () => {
    expect(nameProblem('c'.repeat(246), 'e'.repeat(255))).toBeUndefined();
    expect(nameProblem('...', '.a')).toBeUndefined();
  });
});
