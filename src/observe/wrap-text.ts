const COLORS = /\x1b\[\d+m/g;

/** Lines of at most this width, broken at blanks where there are any. Colors have no width. */
export function wrapText(text: string, width: number): string[] {
  const lines: string[] = [''];
  for (const word of text.split(' ')) {
    const last = lines.at(-1) ?? '';
    if (last === '' || lengthOf(last) + 1 + lengthOf(word) <= width) {
      lines[lines.length - 1] = last === '' ? word : `${last} ${word}`;
    } else lines.push(word);
    while (lengthOf(lines.at(-1) ?? '') > width) {
      const long = lines.pop() ?? '';
      const at = placeOf(long, width);
      lines.push(long.slice(0, at), long.slice(at));
    }
  }
  return lines.map((line) => line.trimEnd());
}

/** One line, with its own indent on all that it becomes, and `hanging` blanks more on those that go on. */
export function wrapLine(line: string, width: number, hanging = 0): string {
  const indent = /^ */.exec(line)?.[0] ?? '';
  return wrapText(line.slice(indent.length), width - indent.length - hanging)
    .map((part, index) => indent + ' '.repeat(index === 0 ? 0 : hanging) + part)
    .join('\n');
}

/** Visible characters. */
export function lengthOf(text: string): number {
  return text.replace(COLORS, '').length;
}

/** Where so many visible characters have been seen. */
function placeOf(text: string, visible: number): number {
  let at = 0;
  for (let seen = 0; seen < visible;) {
    COLORS.lastIndex = at;
    const color = COLORS.exec(text);
    if (color?.index === at) at += color[0].length;
    else {
      at += 1;
      seen += 1;
    }
  }
  return at;
}
