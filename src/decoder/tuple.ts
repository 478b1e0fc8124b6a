/**
 * TupleData of an Insert, the only bytes that are read once a row.
 *
 * The whole message becomes one latin1 string, of which the reader cuts the fields. That string alone is kept while the
 * event waits, and walked again when its fields are asked for.
 * https://www.postgresql.org/docs/current/protocol-logicalrep-message-formats.html
 */
import { isAscii } from 'node:buffer';
import type { WalpostError } from '../errors.ts';
import { ByteCursor, malformed } from './byte-cursor.ts';
import { NULL, type Row, UNSENT } from './row.ts';

const KIND_NULL = 0x6e; // n
const KIND_UNSENT = 0x75; // u
const KIND_TEXT = 0x74; // t
/** Up to here a loop is cheaper than the call into native code. */
const SHORT = 64;
/** Of each column of a row that is too long; a little more than a poison keeps. */
const KEPT_OF_LARGE = 64 * 1024;

/** Notes in the row where the columns of the tuple lie that starts at `at` and must end with the message, the row's text. */
export function readTuple(message: string, at: number, row: Row): void {
  const columns = row.starts.length;
  const length = message.length;
  if (at + 2 > length) throw truncated();
  if (((message.charCodeAt(at) << 8) | message.charCodeAt(at + 1)) !== columns) throw otherCount();
  let next = at + 2;
  for (let column = 0; column < columns; column++) {
    const kind = next < length ? message.charCodeAt(next) : undefined;
    next += 1;
    if (kind === KIND_TEXT) {
      if (next + 4 > length) throw truncated();
      const start = next + 4;
      next = start + uint32At(message, next);
      if (next > length) throw truncated();
      row.starts[column] = start;
      row.ends[column] = next;
    } else {
      row.starts[column] = withoutText(kind);
    }
  }
  if (next !== length) throw malformed('An Insert has bytes left over.');
  row.text = message;
  row.size = length;
}

/** Whether the columns that matter hold no byte above 127. */
export function isAsciiRow(bytes: Buffer, row: Row, watched: Uint8Array): boolean {
  for (let column = 0; column < watched.length; column++) {
    const start = row.starts[column] ?? NULL;
    if (watched[column] === 1 && start >= 0 && !isAsciiRange(bytes, start, row.ends[column] ?? start)) return false;
  }
  return true;
}

function uint32At(latin1: string, at: number): number {
  const high = (latin1.charCodeAt(at) << 8) | latin1.charCodeAt(at + 1);
  return high * 65_536 + ((latin1.charCodeAt(at + 2) << 8) | latin1.charCodeAt(at + 3));
}

/** The same for a row that may be too long to become an event: of each column only the first bytes are kept. Returns the bytes of all. */
export function readLargeTuple(bytes: Buffer, at: number, row: Row): number {
  const cursor = new ByteCursor(bytes, at);
  const columns = row.starts.length;
  if (cursor.uint16() !== columns) throw otherCount();
  let text = '';
  let sum = 0;
  for (let column = 0; column < columns; column++) {
    const kind = cursor.uint8();
    if (kind === KIND_TEXT) {
      const size = cursor.uint32();
      sum += size;
      const start = cursor.skip(size);
      row.starts[column] = text.length;
      text += bytes.toString('latin1', start, start + Math.min(size, KEPT_OF_LARGE));
      row.ends[column] = text.length;
    } else {
      row.starts[column] = withoutText(kind);
    }
  }
  cursor.finish();
  row.size = sum;
  row.text = text;
  return sum;
}

/** Walks over a tuple of a change that is ignored. */
export function skipTuple(cursor: ByteCursor): void {
  for (let left = cursor.uint16(); left > 0; left--) {
    const kind = cursor.uint8();
    if (kind === KIND_TEXT) cursor.skip(cursor.uint32());
    else withoutText(kind);
  }
}

function withoutText(kind: number | undefined): number {
  if (kind === KIND_NULL) return NULL;
  if (kind === KIND_UNSENT) return UNSENT;
  throw kind === undefined ? truncated() : malformed('A tuple has a column of a kind that was not asked for.');
}

function isAsciiRange(bytes: Buffer, start: number, end: number): boolean {
  if (end - start > SHORT) return isAscii(bytes.subarray(start, end));
  let seen = 0;
  for (let at = start; at < end; at++) seen |= bytes[at] ?? 0;
  return seen < 128;
}

const truncated = (): WalpostError => malformed('An Insert ends in the middle of its tuple.');
const otherCount = (): WalpostError => malformed('An Insert has not as many columns as its relation.');
