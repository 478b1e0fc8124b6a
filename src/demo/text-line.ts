/** A piece of a line: its text, and how it is painted once its place is certain. */
export interface TextPiece {
  readonly text: string;
  readonly paint?: (text: string) => string;
}

/** A line of a terminal, before colour: its width is the number of its characters. */
export type Line = readonly TextPiece[];

export function widthOf(line: Line): number {
  return line.reduce((width, piece) => width + piece.text.length, 0);
}

/** Cuts the line to the width, and only then paints it, so that no escape sequence is ever cut. */
export function paintLine(line: Line, width: number): string {
  let left = width;
  let painted = '';
  for (const { text, paint } of line) {
    const fitting = text.slice(0, Math.max(0, left));
    left -= fitting.length;
    if (fitting !== '') painted += paint ? paint(fitting) : fitting;
  }
  return painted;
}

/** Fills with blanks up to the width, so that what follows stands in a column. */
export function padLine(line: Line, width: number): Line {
  const missing = width - widthOf(line);
  return missing > 0 ? [...line, { text: ' '.repeat(missing) }] : line;
}
