import pc from 'picocolors';
import { wrapLine } from '../observe/wrap-text.ts';
import type { Figures } from './figures.ts';
import { formatBytes, formatCount, formatMilliseconds, formatRate } from './format-figure.ts';
import { renderFrame } from './live-view.ts';
import type { Look } from './organization-grid.ts';

/** The output of the demo: standard output, or a stream of a test. */
export interface DemoOutput {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  readonly columns?: number;
  readonly rows?: number;
}

/** Shows figures while they change. */
export interface Display {
  /** Milliseconds between two figures. */
  readonly intervalMs: number;
  show(figures: Figures): void;
  /** Restores the terminal. */
  close(): void;
}

export function createDisplay(output: DemoOutput, plain: boolean): Display {
  return plain || output.isTTY !== true ? plainDisplay(output) : liveDisplay(output);
}

export function plainLine(figures: Figures): string {
  const fields = [
    `${Math.round(figures.elapsedMs / 1000)}s`.padStart(4),
    `committed ${formatCount(figures.committed)}`,
    `delivered ${formatCount(figures.delivered)}`,
    formatRate(figures.deliveredPerSecond),
    `p50 ${formatMilliseconds(figures.p50)}`,
    `p99 ${formatMilliseconds(figures.p99)}`,
    `batches ${formatCount(figures.batches)}`,
    `lag ${formatBytes(figures.lagHistory.at(-1))}`,
  ];
  return fields.join('  ');
}

function plainDisplay(output: DemoOutput): Display {
  const fits = (line: string): string => (output.isTTY && output.columns ? wrapLine(line, output.columns, 2) : line);
  return {
    intervalMs: 1000,
    show: (figures) => output.write(`${fits(plainLine(figures))}\n`),
    close: () => undefined,
  };
}

const ENTER = '\x1b[?1049h\x1b[?25l';
const LEAVE = '\x1b[?25h\x1b[?1049l';
const HOME = '\x1b[H';
const CLEAR_LINE = '\x1b[K';
const CLEAR_BELOW = '\x1b[J';

/**
 * Draws on the alternate screen. So nothing wraps or remains when the terminal changes its size, and the previous content of
 * the terminal is restored afterwards.
 */
function liveDisplay(output: DemoOutput): Display {
  const look = detectLook();
  let entered = false;
  return {
    intervalMs: 200,
    show(figures) {
      const lines = renderFrame(figures, { columns: output.columns ?? 80, rows: output.rows ?? 24 }, look);
      const frame = lines.map((line) => `${line}${CLEAR_LINE}`).join('\r\n');
      output.write(`${entered ? '' : ENTER}${HOME}${frame}${CLEAR_BELOW}`);
      entered = true;
    },
    close() {
      if (entered) output.write(LEAVE);
      entered = false;
    },
  };
}

function detectLook(): Look {
  const { LC_ALL, LC_CTYPE, LANG } = process.env;
  const unicode = process.platform === 'win32' || /utf-?8/i.test(LC_ALL || LC_CTYPE || LANG || '');
  return { colors: pc.createColors(pc.isColorSupported), unicode };
}
