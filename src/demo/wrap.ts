export const INDENT = '  ';

/** A sentence as lines of at most `width` columns. */
export function wrap(text: string, { width, indent = INDENT }: { width: number; indent?: string }): string[] {
  const lines: string[] = [];
  for (const word of text.split(' ')) {
    const line = lines.at(-1);
    const fits = line !== undefined && indent.length + line.length + 1 + word.length <= width;
    if (fits) lines[lines.length - 1] = `${line} ${word}`;
    else lines.push(word);
  }
  return lines.map((line) => `${indent}${line}`);
}
