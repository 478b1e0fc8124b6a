import { expect, test } from 'vitest';
import { MemoryBudget } from '../../src/router/memory-budget.ts';

test('a full budget says so, and says so again only below three quarters', () => {
  const changes: boolean[] = [];
  const budget = new MemoryBudget(100, (full) => changes.push(full));
  budget.take(99);
  budget.take(1);
  budget.give(20);
  expect(changes).toEqual([true]);
  budget.give(5);
  expect(changes).toEqual([true, false]);
});

test('reads find room only within the budget, one at a time in any case, and none while it is full', () => {
  const budget = new MemoryBudget(100, () => undefined);
  budget.take(30);
  const first = budget.reserve(40);
  const second = budget.reserve(30);
  expect([typeof first, typeof second]).toEqual(['function', 'function']);
  expect(budget.reserve(1)).toBeUndefined();
  first?.();
  second?.();
  const large = budget.reserve(500);
  expect(typeof large).toBe('function');
  expect(budget.reserve(1)).toBeUndefined();
  large?.();
  budget.take(70);
  expect(budget.reserve(1)).toBeUndefined();
});
