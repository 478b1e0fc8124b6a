/**
 * Payloads of a table that was made for Debezium's outbox event router. Its payload column is often text or bytea that holds
 * JSON, and the router passes it on as JSON: an object or an array; anything else stays a string. A null payload is a
 * tombstone, which says that the entity is gone.
 */
import { isUtf8 } from 'node:buffer';
import { asWire, decodeLatin1, quoteJson, type WireText } from '../wire-text.ts';
import { onOneLine } from './row-text.ts';

const TOMBSTONE = asWire('null');
const STRUCTURE = /^[ \t\r\n]*[{[]/;

export function tombstone(): WireText {
  return TOMBSTONE;
}

/** Of a text column: `latin1` has its UTF-8 bytes as characters. */
export function embeddedText(latin1: string): WireText {
  return asWire(isJson(latin1) ? onOneLine(latin1) : quoteJson(decodeLatin1(latin1)));
}

/** Of a bytea column, as pgoutput prints it (\x7b7d) or wal2json (7b7d). Bytes that are no JSON become base64, as JSON converters do it. */
export function embeddedBytes(printed: string): WireText {
  const bytes = Buffer.from(printed.startsWith('\\x') ? printed.slice(2) : printed, 'hex');
  const latin1 = bytes.toString('latin1');
  return asWire(isUtf8(bytes) && isJson(latin1) ? onOneLine(latin1) : `"${bytes.toString('base64')}"`);
}

/** An object or an array that is valid to its end. Its text goes out as it is, so numbers keep their digits. */
function isJson(latin1: string): boolean {
  if (!STRUCTURE.test(latin1)) return false;
  try {
    JSON.parse(decodeLatin1(latin1));
    return true;
  } catch {
    return false;
  }
}
