import { setTimeout as delay } from 'node:timers/promises';

const LOOK_MS = 200;

/** Looks again and again, until what it finds is whole or patience is over; gives back what it has seen last. */
export async function lookUntil<Found>(
  look: () => Promise<Found>,
  isWhole: (found: Found) => boolean,
  patienceMs: number,
): Promise<Found> {
  const deadline = performance.now() + patienceMs;
  for (;;) {
    const found = await look();
    if (isWhole(found) || performance.now() > deadline) return found;
    await delay(LOOK_MS);
  }
}
