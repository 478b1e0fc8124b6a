import { createInterface } from 'node:readline/promises';
import { WalpostError } from '../errors.ts';
import { printable } from '../observe/printable.ts';

/** Asks on a terminal; elsewhere `yes` must have been said on the command line. */
export async function confirm(question: string, yes: boolean | undefined): Promise<boolean> {
  if (yes) return true;
  if (!process.stdin.isTTY || !process.stdout.isTTY) {
    throw new WalpostError('USAGE', {
      detail: 'Nobody can be asked here whether to go on.',
      remedy: 'Add --yes, or --dry-run to only look.',
    });
  }
  const asking = createInterface({ input: process.stdin, output: process.stdout });
  const answer = await asking.question(`${printable(question)} [y/N] `);
  asking.close();
  return /^y(es)?$/i.test(answer.trim());
}
