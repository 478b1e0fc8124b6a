import type { OrderStatus } from './event-mix.ts';

/**
 * What the demo's application does: transactions of the kinds that an outbox has to get right. Most commit one event;
 * some commit many, over several organizations; some are rolled back; some roll back a savepoint and commit the rest.
 * The mix of events decides what happens to an order where the step does not say it.
 */
export type PlanStep =
  | { readonly kind: 'publish'; readonly organizations: readonly number[]; readonly status?: OrderStatus }
  | { readonly kind: 'savepoint' | 'rollback to savepoint' };

export interface TransactionPlan {
  readonly steps: readonly PlanStep[];
  readonly end: 'commit' | 'rollback';
}

/** A number from 0 up to, not including, 1. */
export type Random = () => number;

const SAVEPOINT: PlanStep = { kind: 'savepoint' };
const BACK_TO_SAVEPOINT: PlanStep = { kind: 'rollback to savepoint' };

/** Draws the next transaction of a writer; organizations are named by their index, one for each event. */
export function planTransaction(random: Random, organizations: number): TransactionPlan {
  const below = (limit: number): number => Math.floor(random() * limit);
  const publish = (events: number): PlanStep => ({
    kind: 'publish',
    organizations: Array.from({ length: events }, () => below(organizations)),
  });
  const kind = random();
  if (kind < 0.62) return { steps: [publish(1)], end: 'commit' };
  if (kind < 0.84) return { steps: [publish(2 + below(14))], end: 'commit' };
  if (kind < 0.92) return { steps: [publish(1 + below(5))], end: 'rollback' };
  const lost = [SAVEPOINT, publish(1 + below(4)), BACK_TO_SAVEPOINT];
  return { steps: [publish(1 + below(3)), ...lost, publish(1)], end: 'commit' };
}

/** Small, fast and good enough to look random: the same seed draws the same transactions. */
export function seededRandom(seed: number): Random {
  let state = seed >>> 0;
  return () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), state | 1);
    mixed ^= mixed + Math.imul(mixed ^ (mixed >>> 7), mixed | 61);
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
