/**
 * A text that keeps nothing else in memory. V8 makes a field of an event a view into its whole row, which is right while the
 * event lives, and wrong for a name that lives longer. Joining and cutting makes V8 copy the characters of the text alone; it
 * is ten times as fast as the way through a buffer. tests/own-copy.test.ts shows that it holds on the Node.js that runs it.
 */
export function ownCopy(text: string): string {
  return ` ${text}`.slice(1);
}
