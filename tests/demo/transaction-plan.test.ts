import { expect, test } from 'vitest';
import { planTransaction, seededRandom } from '../../src/demo/transaction-plan.ts';

const plans = (seed: number) => {
  const random = seededRandom(seed);
  return Array.from({ length: 2000 }, () => planTransaction(random, 7));
};

test('draws every kind of transaction, and names organizations that exist', () => {
  const drawn = plans(1);
  const publishes = drawn.flatMap((plan) => plan.steps.flatMap((step) => (step.kind === 'publish' ? [step] : [])));
  expect(drawn.some((plan) => plan.end === 'rollback')).toBe(true);
  expect(drawn.some((plan) => plan.end === 'commit' && plan.steps.length === 1)).toBe(true);
  expect(publishes.some((step) => step.organizations.length > 10)).toBe(true);
  expect(drawn.some((plan) => plan.steps.some((step) => step.kind === 'rollback to savepoint'))).toBe(true);
  expect(new Set(publishes.flatMap((step) => step.organizations))).toEqual(new Set([0, 1, 2, 3, 4, 5, 6]));
});

test('the same seed draws the same transactions, another seed others', () => {
  expect(plans(3)).toEqual(plans(3));
  expect(plans(3)).not.toEqual(plans(4));
});
