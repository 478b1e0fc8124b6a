import { createInterface } from 'node:readline/promises';
import { WalpostError } from '../errors.ts';
import { printable } from '../observe/printable.ts';

/**
 * Asks on a terminal; elsewhere `yes` must have been said on the command line. With `json` standard output is for programs.
 * `remedy` is for where nobody can be asked: a command without --dry-run has another.
 */
export async function confirm(
  question: string,
  { yes, json }: { yes?: boolean; json?: boolean },
  remedy = 'Add --yes, or --dry-run to only look.',
): Promise<boolean> {
  if (yes) return true;
  const output = json ? process.stderr : process.stdout;
  if (!process.stdin.isTTY || !output.isTTY) {
    throw new WalpostError('USAGE', {
      detail: 'Nobody can be asked here whether to go on.',
      remedy,
    });
  }
  const asking = createInterface({ input: process.stdin, output });
  const answer = await asking.question(`${printable(question)} [y/N] `);
  asking.close();
  return /^y(es)?$/i.test(answer.trim());
}
