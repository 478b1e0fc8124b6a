import { expect, test } from 'vitest';
import { shortened } from '../../src/cli/events.ts';

const step = (name: string, sink: string | null, attempt: number | null, lane = '') => ({
  at: '2026-11-20T14:00:03.000000Z',
  step: name,
  sink,
  lane: sink === null ? null : lane,
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

test('each endpoint is a destination of its own, and the only one that failed is shown', () => {
  const steps = Array.from({ length: 10 }, (_, n) => step(n === 5 ? 'unavailable' : 'delivered', 'hooks', 1, `e${n}`));
  expect(shortened(steps)).toEqual(steps);
});

test('an attempt between that ended in another way than the one before is shown', () => {
  const names = Array.from({ length: 20 }, (_, n) => (n === 9 ? 'rejected' : 'unavailable'));
  const steps = names.map((name, n) => step(name, 'crm', n + 1));
  expect(shortened(steps).map(({ attempt }) => attempt)).toEqual([1, 2, 3, 10, 11, 18, 19, 20]);
});
