/** Lists and records as text that fits the terminal. Where there is none, each row is one line, for grep and awk. */
import { printable } from '../observe/printable.ts';
import { lengthOf, wrapLine, wrapText } from '../observe/wrap-text.ts';

/** Below this nothing can be laid out. */
const NARROWEST = 40;

/** Columns of the terminal; undefined where there is none. */
export function terminalWidth(output: { readonly isTTY?: boolean; readonly columns?: number }): number | undefined {
  return output.isTTY && output.columns !== undefined ? Math.max(NARROWEST, output.columns) : undefined;
}

/** Rows of the terminal; undefined where there is none. */
export function heightOf(output: { readonly isTTY?: boolean; readonly rows?: number }): number | undefined {
  return output.isTTY && output.rows !== undefined && output.rows > 0 ? output.rows : undefined;
}

/** As many lines as the terminal shows, without those in the middle: what is first and what is last counts most. */
export function lowered(text: string, rows: number | undefined): string {
  const lines = text.trimEnd().split('\n');
  const room = Math.max(3, (rows ?? Infinity) - 1); // the cursor has a row of its own
  if (lines.length <= room) return text;
  const above = Math.floor((room - 1) / 2);
  const below = room - 1 - above;
  const left = `… ${lines.length - above - below} more lines in a taller terminal`;
  return `${[...lines.slice(0, above), left, ...lines.slice(-below)].join('\n')}\n`;
}

/** Columns as wide as they need to be, without frames. Where they do not fit, a record of lines for each row, and a blank line. */
export function textTable(
  head: readonly string[],
  rows: readonly (readonly string[])[],
  width = terminalWidth(process.stdout),
): string {
  const clean = rows.map((row) => row.map(printable));
  const widths = head.map((title, column) => Math.max(title.length, ...clean.map((row) => (row[column] ?? '').length)));
  const total = widths.reduce((sum, each) => sum + each + 2, -2);
  if (width !== undefined && total > width) {
    const records = clean.map((row) =>
      recordText(
        head.map((name, column) => [name, row[column] ?? '']),
        width,
      ),
    );
    return `${records.join('\n')}\n`;
  }
  return [head, ...clean]
    .map((row) => row.map((cell, column) => cell.padEnd(widths[column] ?? 0)).join('  '))
    .map((line) => `${line.trimEnd()}\n`)
    .join('');
}

const MOST_IN_A_CELL = 80;

/** What a cell of a list shows of a long text. */
export function cut(text: string): string {
  return text.length > MOST_IN_A_CELL ? `${text.slice(0, MOST_IN_A_CELL - 1)}…` : text;
}

/** Room that values keep beside their names: an id of 36 characters is not broken. */
const LEAST_FOR_VALUES = 38;

/** Where values begin, beside all names but those that would take the room of the values. */
export function valueIndent(names: readonly string[], width: number | undefined): number {
  const most = width === undefined ? Infinity : Math.min(width - LEAST_FOR_VALUES - 2, Math.floor(width * 0.36));
  return Math.max(0, ...names.map(lengthOf).filter((length) => length <= most)) + 2;
}

/** Names and values in two columns; what is empty is left out. A name that is too long has a line of its own. */
export function recordText(
  fields: readonly (readonly [name: string, value: string])[],
  width = terminalWidth(process.stdout),
): string {
  const shown = fields
    .filter(([, value]) => value !== '')
    .map(([name, value]) => [printable(name), printable(value)] as const);
  const names = shown.map(([name]) => name);
  const indent = valueIndent(names, width);
  return shown
    .map(([name, value]) => {
      const lines = width === undefined ? [value] : wrapText(value, width - indent);
      const head = name.length + 2 > indent ? `${fitted(name, width)}\n${' '.repeat(indent)}` : name.padEnd(indent);
      return `${head}${lines.join(`\n${' '.repeat(indent)}`)}\n`;
    })
    .join('');
}

/**
 * A line for the terminal, or as it is where there is none; its own indent holds for all that it becomes. Where lines of
 * a list follow each other, `hanging` blanks more show which ones go on.
 */
export function fitted(line: string, width = terminalWidth(process.stdout), hanging = 0): string {
  return width === undefined ? line : wrapLine(line, width, hanging);
}
