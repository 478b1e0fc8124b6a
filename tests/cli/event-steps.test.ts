import { expect, test } from 'vitest';
import { shortened } from '../../src/cli/events.ts';

const step = (name: string, sink: string | null, attempt: number | null) => ({
  at: '2026-11-20T14:00:03.000000Z',
  step: name,
  sink,
  attempt,
  reason: null,
  job: null,
  letter: null,
});

test('of many attempts at one sink the first and the last are shown, and all that is no attempt', () => {
  const attempts = Array.from({ length: 20 }, (_, n) => step('unavailable', 'crm', n + 1));
  const others = [step('created', null, null), step('parked', 'crm', null), step('failed', 'n8n', 1)];
  const dead = step('dead', 'n8n', 1);
  const shown = shortened([...others, ...attempts, dead]);
  expect(
    shown.filter(({ sink, step: name }) => sink === 'crm' && name !== 'parked').map(({ attempt }) => attempt),
  ).toEqual([1, 2, 3, 18, 19, 20]);
  expect(shown).toEqual(expect.arrayContaining([...others, dead]));
  expect(shortened(attempts.slice(0, 6))).toHaveLength(6);
});
