import { terminalWidth } from './text-table.ts';

const CLEAR_LINE = '\r\x1b[K';

/** One line on the terminal that changes; elsewhere nothing, so that what a script reads stays clean. */
export function progressLine(text: (count: number) => string): Disposable & {
  show: (count: number) => void;
  clear: () => void;
} {
  const live = process.stderr.isTTY;
  const clear = (): void => void (live && process.stderr.write(CLEAR_LINE));
  const show = (count: number): void => void (live && process.stderr.write(changedLine(text(count), process.stderr)));
  return { show, clear, [Symbol.dispose]: clear };
}

/** In place of what the line showed; cut, since only the last row of a line that wraps would be cleared. */
export function changedLine(text: string, output: { readonly isTTY?: boolean; readonly columns?: number }): string {
  const width = terminalWidth(output);
  return CLEAR_LINE + (width === undefined ? text : text.slice(0, width - 1));
}
