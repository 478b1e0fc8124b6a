const CLEAR_LINE = '\r\x1b[K';

/** One line on the terminal that changes; elsewhere nothing, so that what a script reads stays clean. */
export function progressLine(text: (count: number) => string): Disposable & {
  show: (count: number) => void;
  clear: () => void;
} {
  const live = process.stderr.isTTY;
  const clear = (): void => void (live && process.stderr.write(CLEAR_LINE));
  const show = (count: number): void => void (live && process.stderr.write(CLEAR_LINE + text(count)));
  return { show, clear, [Symbol.dispose]: clear };
}
