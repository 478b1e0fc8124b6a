/** The organizations of the example. */
export const ORGANIZATIONS: readonly string[] = Array.from(
  { length: 10 },
  (_, n) => `6f1c2a52-0000-4000-8000-${String(n + 1).padStart(12, '0')}`,
);
