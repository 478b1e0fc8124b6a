/**
 * Wire text: bytes as a string.
 *
 * Payloads must leave exactly as Postgres printed them, and they are most of what flows through the process. So a row
 * is kept as one latin1 string, in which each character *is* one byte: slicing it is cheap, V8 stores it in one byte a
 * character, it cannot be overwritten like a view into the driver's buffer, and writing it out as latin1 gives back the
 * very bytes that came in, whatever UTF-8 they hold. JSON's own syntax is ASCII, so wire text can be joined into larger
 * wire text (an envelope, a body) without being decoded.
 *
 * The type is opaque on purpose: wire text of "é" has two characters, so it must never be mistaken for a string.
 */
export type WireText = { readonly [wire]: true };
declare const wire: unique symbol;

const NOT_ASCII = /[^\x00-\x7f]/;
const NEEDS_ESCAPE = /[^ !#-[\]-~]/;

/** Claims that each character of the string is one byte: a latin1 slice of a buffer, or ASCII. */
export function asWire(latin1: string): WireText {
  return latin1 as unknown as WireText;
}

/** The latin1 string behind the wire text, for joining it into more wire text. Its length is the number of bytes. */
export function wireString(text: WireText): string {
  return text as unknown as string;
}

/** The bytes, as they came. */
export function wireBytes(text: WireText): Buffer {
  return Buffer.from(wireString(text), 'latin1');
}

/** Decodes a latin1 slice of UTF-8 bytes into a string; free when it is ASCII. */
export function decodeLatin1(latin1: string): string {
  return NOT_ASCII.test(latin1) ? Buffer.from(latin1, 'latin1').toString('utf8') : latin1;
}

/** The text that the bytes say. */
export function wireToText(text: WireText): string {
  return decodeLatin1(wireString(text));
}

/** The UTF-8 bytes of a string, as wire text. */
export function textToWire(text: string): WireText {
  return asWire(NOT_ASCII.test(text) ? Buffer.from(text, 'utf8').toString('latin1') : text);
}

/** A JSON string literal, as a latin1 string of its UTF-8 bytes. */
export function quoteJson(text: string): string {
  return NEEDS_ESCAPE.test(text) ? wireString(textToWire(JSON.stringify(text))) : `"${text}"`;
}

/** A JSON string literal or null, as a latin1 string of its UTF-8 bytes. */
export function quoteJsonOrNull(text: string | null): string {
  return text === null ? 'null' : quoteJson(text);
}
