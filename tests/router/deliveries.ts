import type { Harness } from './harness.ts';
import { DELIVERED, type Verdicts } from '../../src/pipeline.ts';

export const DOWN: Verdicts = { kind: 'unavailable', reason: 'connection refused' };

export const numbers = (from: number, to: number): string[] =>
  Array.from({ length: to - from }, (_, index) => `${from + index}`);

/** Events in the order of their first delivery. */
export function order(delivered: ReadonlyMap<string, number>): string[] {
  return [...delivered].toSorted((a, b) => a[1] - b[1]).map(([id]) => id);
}

/** Answers by `up`, and notes what was delivered, each event at its first time. */
export function recording(harness: Harness, up: () => boolean): Map<string, number> {
  const delivered = new Map<string, number>();
  harness.answer = (batch) => {
    if (!up()) return DOWN;
    for (const each of batch.events) if (!delivered.has(each.eventId)) delivered.set(each.eventId, delivered.size);
    return DELIVERED;
  };
  return delivered;
}
