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

/** Code, what happened, what to do: three short lines, and the stack only for who debugs. */
export function printError(error: unknown, output: ErrorOutput = process.stderr, withStack = wantsStack()): void {
  const paint = pc.createColors(wantsColor(output));
  const known = error instanceof WalpostError ? error : undefined;
  const lines = [paint.red(known?.code ?? 'UNEXPECTED')];
  if (error instanceof ConfigError)
    lines.push(...error.problems.map((problem) => `  ${shown(formatProblem(problem))}`));
  else lines.push(`  ${shown(messageOf(error))}`);
  lines.push(`  ${shown(known?.remedy ?? 'Set WALPOST__LOG__LEVEL=debug to see where it comes from.')}`);
  const shownLines = lines.map((line) => fitted(line, terminalWidth(output)));
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
