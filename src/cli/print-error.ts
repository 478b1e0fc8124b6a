import pc from 'picocolors';
import { ConfigError, formatProblem } from '../config/config-problem.ts';
import { messageOf, WalpostError } from '../errors.ts';
import { wantsColor } from '../observe/color.ts';
import { printable, printableLines } from '../observe/printable.ts';
import { scrub } from '../observe/redact.ts';
import { fitted, terminalWidth } from './text-table.ts';

export interface ErrorOutput {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Of a problem that takes more than one line, beside its neighbours. */
export const HANGING = 4;

/** Code, what happened, what to do: three short lines, and the stack only for who debugs. */
export function printError(error: unknown, output: ErrorOutput = process.stderr, withStack = wantsStack()): void {
  const paint = pc.createColors(wantsColor(output));
  const known = error instanceof WalpostError ? error : undefined;
  const fit = (line: string, hanging = 0): string => fitted(line, terminalWidth(output), hanging);
  const shownLines = [paint.red(known?.code ?? 'UNEXPECTED')];
  if (error instanceof ConfigError)
    shownLines.push(...error.problems.map((problem) => fit(`  ${shown(formatProblem(problem))}`, HANGING)));
  else shownLines.push(fit(`  ${shown(messageOf(error))}`));
  shownLines.push(fit(`  ${shown(known?.remedy ?? 'Set WALPOST__LOG__LEVEL=debug to see where it comes from.')}`));
  const stack = error instanceof Error ? error.stack : undefined;
  if (withStack && stack !== undefined) shownLines.push(printableLines(scrub(stack)));
  output.write(`${shownLines.join('\n')}\n`);
}

/** What went wrong may quote what others wrote. */
export function shown(text: string): string {
  return printable(scrub(text));
}

function wantsStack(): boolean {
  return process.env['WALPOST__LOG__LEVEL'] === 'debug' || process.argv.includes('log.level=debug');
}
