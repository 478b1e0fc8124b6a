/** What receivers answer, and what errors quote, goes through regular expressions: none may take time in the square of it. */
import { expect, test } from 'vitest';
import { scrub } from '../../src/observe/redact.ts';
import { AnswerText } from '../../src/sinks/answer/answer-text.ts';
import { asWire } from '../../src/wire-text.ts';

const answer = new AnswerText(() => ['whsec_a secret of the sink']);
const kept = (text: string): string | undefined =>
  answer.keep({ text, cut: false }, { events: [], body: asWire('[]') });

const TEXTS = { dots: 'a.', letters: 'a', schemes: 'a://', users: 'a://b@', spaces: ' \t', equals: 'key=' };

test.each(Object.entries(TEXTS))('100,000 times %s cost time in their length', (_, piece) => {
  const text = piece.repeat(100_000);
  const { user } = process.cpuUsage(); // other processes must not count
  kept(text);
  scrub(text);
  expect((process.cpuUsage().user - user) / 1000).toBeLessThan(1_000);
});

test('a URL whose scheme is long loses its credentials and its path all the same', () => {
  const scheme = 'x'.repeat(100);
  expect(kept(`see ${scheme}://user:secret@host/path/token now`)).toBe(`see ${scheme}://host now`);
  expect(scrub(`${scheme}://user:secret@host`)).not.toContain('secret');
});
