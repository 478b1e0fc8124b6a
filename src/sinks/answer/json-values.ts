import { decodeLatin1, wireString, type WireText } from '../../wire-text.ts';

const QUOTE = 34;
const BACKSLASH = 92;
const COLON = 58;
const BLANK = 32;
const NUMBER = /[-\d][\d.eE+-]*/y;

/** The strings and numbers of a JSON text, without its keys. The text may have megabytes, so it is scanned and not parsed. */
export function* jsonValues(json: WireText): Generator<string> {
  const text = wireString(json);
  for (let at = 0; at < text.length;) {
    const code = text.charCodeAt(at);
    if (code === QUOTE) {
      const end = endOfString(text, at + 1);
      const isKey = text.charCodeAt(afterBlanks(text, end + 1)) === COLON;
      if (!isKey) yield stringAt(text, at + 1, end);
      at = end + 1;
    } else if (code === 45 || (code >= 48 && code <= 57)) {
      NUMBER.lastIndex = at;
      const number = NUMBER.exec(text)?.[0] ?? '-';
      yield number;
      at += number.length;
    } else at += 1;
  }
}

/** The index of the closing quote. */
function endOfString(text: string, from: number): number {
  for (let at = from; ;) {
    const end = text.indexOf('"', at);
    if (end < 0) return text.length;
    let backslashes = 0;
    while (text.charCodeAt(end - 1 - backslashes) === BACKSLASH) backslashes += 1;
    if (backslashes % 2 === 0) return end;
    at = end + 1;
  }
}

function afterBlanks(text: string, from: number): number {
  let at = from;
  while (text.charCodeAt(at) <= BLANK) at += 1;
  return at;
}

function stringAt(text: string, from: number, to: number): string {
  const raw = decodeLatin1(text.slice(from, to));
  if (!raw.includes('\\')) return raw;
  try {
    return JSON.parse(`"${raw}"`) as string;
  } catch {
    return raw;
  }
}
