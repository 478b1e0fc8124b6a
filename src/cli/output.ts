/** What commands say: no text of a database or of a destination moves the reader's cursor. */
import { printable, printableJson } from '../observe/printable.ts';
import { fitted, terminalWidth } from './text-table.ts';

export function say(line: string): void {
  process.stdout.write(`${fitted(printable(line))}\n`);
}

/** Beside the output of the command: a warning, or what a person waits for. `hanging` as of `fitted`. */
export function note(line: string, hanging = 0): void {
  process.stderr.write(`${fitted(printable(line), terminalWidth(process.stderr), hanging)}\n`);
}

/** What to do next, for a person at a terminal; a program that reads the output gets rows alone. */
export function hint(line: string): void {
  if (process.stdout.isTTY) say(line);
}

/** For programs: indented, or on one line with 0. */
export function sayJson(value: unknown, indent = 2): void {
  process.stdout.write(`${printableJson(value, indent)}\n`);
}
