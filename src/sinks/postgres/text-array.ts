/**
 * A parameter of type text[] in the binary format of Postgres (array_recv), which the driver sends as it is. The text format
 * quotes each of its elements, which for JSON costs both sides more than all the rest of a statement.
 */
import { type WireText, wireString } from '../../wire-text.ts';

/** OID of `text`. */
const TEXT = 25;
/** Number of dimensions, whether there are nulls, OID of the elements, number of elements, number of the first. */
const HEAD = 5 * 4;

/** An array with one dimension and no nulls. */
export function textArray(elements: readonly WireText[]): Buffer {
  const bytes = Buffer.allocUnsafe(elements.reduce((size, each) => size + 4 + wireString(each).length, HEAD));
  let at = bytes.writeInt32BE(1, 0);
  at = bytes.writeInt32BE(0, at);
  at = bytes.writeInt32BE(TEXT, at);
  at = bytes.writeInt32BE(elements.length, at);
  at = bytes.writeInt32BE(1, at);
  for (const element of elements) {
    const text = wireString(element);
    at = bytes.writeInt32BE(text.length, at);
    at += bytes.write(text, at, 'latin1');
  }
  return bytes;
}
