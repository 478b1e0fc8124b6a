import { WalpostError } from '../errors.ts';

/** What the process tells whoever started it; docs/cli.md lists these. */
export const EXIT = { done: 0, failed: 1, usage: 2, problemsFound: 3 } as const;

export function exitCodeOf(error: unknown): number {
  return error instanceof WalpostError && error.policy === 'usage' ? EXIT.usage : EXIT.failed;
}
