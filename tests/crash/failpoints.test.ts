/** A failpoint that matches nothing would make its test wait for a crash that never comes, or pass without one. */
import { expect, test } from 'vitest';
import { after, aroundStatement } from './failpoints.ts';

const reached = () => undefined;

test('a method that is gone, or is none, is an error', () => {
  class Owner {
    size = 1;
    work(): void {}
  }
  const owner = new Owner();
  // @ts-expect-error: named by keyof
  expect(() => after(owner, 'gone', reached)).toThrow('gone is no method');
  expect(() => after(owner, 'size', reached)).toThrow('size is no method');
  let calls = 0;
  after(owner, 'work', () => void (calls += 1));
  owner.work();
  expect(calls).toBe(1);
});

test('a statement that src does not have is an error', () => {
  expect(() => aroundStatement('INSERT INTO walpost.nowhere', {})).toThrow('no statement in src');
});
