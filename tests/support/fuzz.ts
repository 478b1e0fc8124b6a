/**
 * How long a property is tried: as many runs as its test says, or for a time and from a seed of one's own
 * (`npm run fuzz -- --seconds 60 --seed 1`).
 */
import type fc from 'fast-check';

const seconds = Number(process.env['WALPOST_FUZZ_SECONDS'] ?? 0);
const seed = Number(process.env['WALPOST_FUZZ_SEED'] ?? 0);

export function runs<T>(numRuns: number): fc.Parameters<T> {
  if (seconds === 0) return { numRuns };
  return { numRuns: 1_000_000_000, seed, interruptAfterTimeLimit: seconds * 1000, markInterruptAsFailure: false };
}
