/**
 * A route's pattern: `*` stands for any text, everything else for itself.
 *
 * The texts come from whoever may write an event, so a match costs time in the length of the text and no more: each piece
 * between two stars is looked for once, at the first place behind the one before it. If the pieces fit anywhere they fit
 * there, so nothing has to be tried again.
 */
export function compilePattern(pattern: string): (text: string) => boolean {
  const [head = '', ...rest] = pattern.split('*');
  const tail = rest.pop();
  if (tail === undefined) return (text) => text === pattern;
  const middle = rest.filter((piece) => piece !== '');
  const shortest = head.length + tail.length;
  return (text) => {
    if (text.length < shortest || !text.startsWith(head) || !text.endsWith(tail)) return false;
    let at = head.length;
    for (const piece of middle) {
      const found = text.indexOf(piece, at);
      if (found < 0) return false;
      at = found + piece.length;
    }
    return at <= text.length - tail.length;
  };
}
