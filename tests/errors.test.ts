import { expect, test } from 'vitest';
import { ERROR_CODES } from '../src/errors.ts';

test('no remedy promises what only a running relay does: a command that ends prints the same', () => {
  const promises = Object.entries(ERROR_CODES).filter(([, { remedy }]) =>
    /by itself|tries again|reconnects/.test(remedy),
  );
  expect(promises.map(([code]) => code)).toEqual([]);
});

test('only what needs nobody has the remedy that there is none', () => {
  const none = Object.entries(ERROR_CODES).filter(([, { remedy }]) => remedy.startsWith('None'));
  expect(none.filter(([, { policy }]) => policy !== 'retry').map(([code]) => code)).toEqual([]);
});
