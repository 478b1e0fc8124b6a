import { expect } from 'vitest';
import type { CursorWrite, Scene } from './scene.ts';

/** Each epoch has one author, and they follow each other: nobody wrote after another had claimed. */
export function expectOneAtATime(history: readonly CursorWrite[]): void {
  const authors = new Map<number, Set<string>>();
  for (const { by, epoch } of history) authors.set(epoch, (authors.get(epoch) ?? new Set()).add(by));
  expect([...authors.values()].every((names) => names.size === 1)).toBe(true);
  const epochs = history.map(({ epoch }) => epoch);
  expect(epochs).toEqual(epochs.toSorted((a, b) => a - b));
}

export function expectNothingLost(scene: Scene): void {
  expect(scene.missing()).toEqual([]);
  expect(scene.firstArrivals()).toEqual(scene.committed);
}
