/** One command in terminals of three widths and in a pipe: it fits, ends as it should, and says the same everywhere. */
import { expect } from 'vitest';
import { Terminal } from '../situations/terminal.ts';
import { walpost } from '../support/walpost-cli.ts';

export const WIDTHS = [60, 80, 160] as const;

export interface ShownOptions {
  /** Of each run, in the order of the widths and then for the pipe. */
  readonly directories: readonly string[];
  /** 0 by default. */
  readonly code?: number | undefined;
}

/** Patterns are looked for over the ends of lines, so that a word that is broken is not found. */
export async function expectShown(
  argv: readonly string[],
  says: readonly RegExp[],
  { directories, code = 0 }: ShownOptions,
): Promise<void> {
  const shown = await Promise.all([
    ...WIDTHS.map(async (columns, place) => {
      await using terminal = new Terminal(argv, { cwd: directories[place] ?? '', columns });
      return { columns, ...(await terminal.end()) };
    }),
    walpost(argv, { cwd: directories.at(-1) ?? '' }).then(({ code: ended, stdout, stderr }) => {
      return { columns: Infinity, code: ended, text: stdout + stderr };
    }),
  ]);
  for (const { columns, code: ended, text } of shown) {
    expect({ columns, ended, text }).toMatchObject({ ended: code });
    expect({ columns, wide: text.split('\n').filter((line) => line.length > columns) }).toEqual({ columns, wide: [] });
    for (const pattern of says) expect(text.replace(/\s+/g, ' ')).toMatch(pattern);
  }
}
