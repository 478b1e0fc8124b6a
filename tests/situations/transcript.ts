/** What was typed and what was shown, in order, before and after the remedy. */
import { join } from 'node:path';
import { textTable } from '../../src/cli/text-table.ts';
import { COLUMNS } from './terminal.ts';

const ROOT = join(import.meta.dirname, '../..');
/** More of one output says nothing more. */
const MOST_LINES = 42;

/** What an operator does, and what is read then. */
export interface Step {
  /** After the remedy. */
  readonly after: boolean;
  readonly kind: 'words' | 'terminal' | 'sql';
  readonly prompt: string;
  readonly output: string;
}

export class Transcript {
  readonly steps: Step[] = [];
  /** Milliseconds from the fault to the remedy: in these all of it was told. */
  toldIn: number | undefined;
  private isOver = false;
  private begun = performance.now();

  /** Says what has happened. What was shown before, while it was prepared, is no part of the page. */
  begins(words: string): void {
    this.steps.length = 0;
    this.begun = performance.now();
    this.keep('words', words, '');
  }

  /** What the operator does now; everything after it belongs to the remedy. */
  remedy(words: string): void {
    this.isOver = true;
    this.toldIn = performance.now() - this.begun;
    this.keep('words', words, '');
  }

  keep(kind: Step['kind'], prompt: string, output: string): void {
    this.steps.push({ after: this.isOver, kind, prompt, output: onScreen(output) });
  }
}

/** The last lines, broken where the terminal breaks them, without the place of this copy of walpost. */
function onScreen(text: string): string {
  const lines = text
    .replaceAll(ROOT, '/walpost')
    .trimEnd()
    .split('\n')
    .flatMap((line) => line.match(new RegExp(`.{1,${COLUMNS}}`, 'gu')) ?? ['']);
  return (lines.length > MOST_LINES ? ['…', ...lines.slice(-MOST_LINES)] : lines).join('\n');
}

export function rowsText(rows: readonly Record<string, unknown>[]): string {
  const head = Object.keys(rows[0] ?? {});
  if (rows.length === 0) return '(0 rows)';
  return textTable(
    head,
    rows.map((row) => head.map((name) => cellText(row[name]))),
    COLUMNS,
  );
}

function cellText(value: unknown): string {
  if (value === null || value === undefined) return '';
  if (value instanceof Date) return value.toISOString();
  return typeof value === 'string' ? value : JSON.stringify(value);
}
