import { expect, test } from 'vitest';
import { createEventBus } from '../../packages/consumer/src/subscribe/index.ts';

interface Details {
  readonly toast: { readonly text: string };
  readonly 'badge.jobs': number;
  readonly 'badge.mails': number;
}

test('listeners hear of their type or pattern until they stop', () => {
  const bus = createEventBus<Details>();
  const heard: unknown[] = [];
  const stop = bus.on('badge.jobs', (count) => heard.push(count + 1));
  bus.on('badge.*', (detail) => heard.push(detail));
  bus.on('toast', ({ text }) => heard.push(text));
  bus.emit('badge.jobs', 1);
  bus.emit('toast', { text: 'done' });
  stop();
  bus.emit('badge.jobs', 5);
  expect(heard).toEqual([2, 1, 'done', 5]);
});

test('a listener may stop another one, and one that throws stops nobody', () => {
  const errors: unknown[] = [];
  const bus = createEventBus<Details>({ onError: (error) => errors.push(error) });
  const heard: string[] = [];
  bus.on('toast', () => {
    stop();
    bus.on('toast', () => heard.push('new'));
    throw new Error('of a listener');
  });
  const stop = bus.on('toast', () => heard.push('stopped'));
  bus.on('toast', () => heard.push('last'));
  bus.emit('toast', { text: '' });
  expect([heard, errors]).toEqual([['last'], [new Error('of a listener')]]);
});
