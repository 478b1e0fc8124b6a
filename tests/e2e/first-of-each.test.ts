import { expect, test } from 'vitest';
import { firstOfEach } from './through-kills.ts';

const envelope = (id: string, n: number) => ({ event_id: id, organization_id: 'x', payload: { n } });

test('what comes once more, late, does not move the place at which it came first', () => {
  const [a, b, c] = [envelope('a', 1), envelope('b', 2), envelope('c', 3)];
  expect(firstOfEach([a, b, a, c, b])).toEqual([a, b, c]);
});
