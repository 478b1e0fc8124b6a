import { type ByteCursor, malformed } from './byte-cursor.ts';
import { skipTuple } from './tuple.ts';

/** Marks of the tuples in a change: N the new one, K the key or O the whole of the old one. */
export const NEW_TUPLE = 0x4e;
const KEY_TUPLE = 0x4b;
const OLD_TUPLE = 0x4f;

/** After the relation: maybe the old tuple, then the new one. */
export function skipUpdate(cursor: ByteCursor): void {
  let mark = cursor.uint8();
  if (mark === KEY_TUPLE || mark === OLD_TUPLE) {
    skipTuple(cursor);
    mark = cursor.uint8();
  }
  if (mark !== NEW_TUPLE) throw malformed('An Update has no new tuple.');
  skipTuple(cursor);
}

/** After the relation: the old tuple. */
export function skipDelete(cursor: ByteCursor): void {
  const mark = cursor.uint8();
  if (mark !== KEY_TUPLE && mark !== OLD_TUPLE) throw malformed('A Delete has no old tuple.');
  skipTuple(cursor);
}

/** Where a transaction came from, when another server replicated it here: an LSN and a name. */
export function skipOrigin(cursor: ByteCursor): undefined {
  cursor.skip(8);
  cursor.cString();
  cursor.finish();
}
