import { expect, test } from 'vitest';
import { AnswerText } from '../../src/sinks/answer/answer-text.ts';
import { verdictOfReply } from '../../src/sinks/redis/redis-verdict.ts';
import { sampleEvent } from '../support/sample-event.ts';

const verdictOf = (text: string) =>
  verdictOfReply(text, { events: [sampleEvent()], answers: new AnswerText(() => []) });

test.each([
  ["OOM command not allowed when used memory > 'maxmemory'.", 'unavailable', 'REDIS_OOM'],
  ["@user_script: 10: -OOM command not allowed when used memory > 'maxmemory'.", 'unavailable', 'REDIS_OOM'],
  ["@user_script: 10: -READONLY You can't write against a read only replica.", 'unavailable', 'REDIS_READONLY'],
  [
    'ERR Error running script (call to f_0a1b): @user_script:123: WRONGTYPE Operation against a key',
    'failed',
    'REDIS_WRONGTYPE',
  ],
  ['DENIED Redis is running in protected mode', 'unavailable', 'REDIS_DENIED'],
  ['ERR unknown', 'failed', 'REDIS_ERR'],
])('%s is %s', (text, kind, code) => {
  expect(verdictOf(text)).toMatchObject({ kind, code });
});

test('a right that is missing may be about the key of one event', () => {
  expect(verdictOf('NOPERM No permissions to access a key')).toMatchObject({ kind: 'unavailable', answered: true });
});
