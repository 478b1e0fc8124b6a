import { WalpostError } from '../errors.ts';
import { printable } from '../observe/printable.ts';
import { askLine } from './ask-line.ts';
import { EXIT } from './exit-code.ts';

/**
 * Asks on a terminal; elsewhere `yes` must have been said on the command line. With `json` standard output is for programs.
 * After any answer but yes nothing is changed, and that is said. A question that is left without an answer is a failure, so that
 * a shell does not go on. `remedy` is for where nobody can be asked: a command without --dry-run has another.
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
  const answer = await askLine(`${printable(question)} [y/N] `, output);
  if (answer === undefined) process.exitCode = EXIT.failed;
  const goesOn = answer !== undefined && /^y(es)?$/i.test(answer);
  if (!goesOn) output.write('Nothing was changed.\n');
  return goesOn;
}
