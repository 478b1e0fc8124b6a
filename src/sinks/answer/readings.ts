import { isUtf8 } from 'node:buffer';

/**
 * The ways to read an answer.
 *
 * A receiver that echoes a request usually changes its form: it quotes it as JSON, in a URL or in HTML, encodes it in base64
 * or breaks it into lines. Each reading undoes some of these forms. It knows for each of its characters which part of the
 * answer the character came from, so that a match in a reading can be removed from the answer.
 */
export interface Reading {
  readonly text: string;
  /** For each character where it begins in the answer, and where it ends. */
  readonly starts: readonly number[];
  readonly ends: readonly number[];
}

/** Maximum characters of an answer that are examined. */
export const MOST_READ = 2048;
/** Maximum depth of quotations inside quotations. */
const DEEPEST = 4;
/** The escapes of URLs, of JSON, and of HTML. */
const KINDS = [
  /(?:%[0-9a-f]{2})+/gi,
  /\\(?:u[0-9a-f]{4}|x[0-9a-f]{2}|[\s\S])/gi,
  /&(?:#\d{1,7}|#x[0-9a-f]{1,6}|amp|lt|gt|quot|apos|nbsp);/gi,
];
const ESCAPE = new RegExp(KINDS.map((kind) => kind.source).join('|'), 'gi');
const INVISIBLE = /[\s\p{Cc}\p{Cf}]+/gu;
const BASE64 = /[A-Za-z0-9+/_-]{24,}/g;
const SHORT_ESCAPES: Readonly<Record<string, string>> = {
  n: '\n',
  r: '\r',
  t: '\t',
  b: '\b',
  f: '\f',
  v: '\v',
  0: '\0',
};
const ENTITIES: Readonly<Record<string, string>> = { amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ' };

/**
 * The text as it is, then with its escapes undone level by level; each also without blanks and control characters. Where a
 * level has escapes of several kinds, also with those of one kind undone: of a secret that was quoted in HTML, a backslash at
 * its end is no escape, though the next character makes it look like one.
 */
export function readingsOf(text: string): readonly Reading[] {
  const readings: Reading[] = [];
  let reading: Reading | undefined = asIs(text);
  for (let depth = 0; reading && depth <= DEEPEST; depth++) {
    readings.push(reading);
    const squeezed = rewritten(reading, invisibleParts(reading.text));
    if (squeezed) readings.push(squeezed);
    const current: Reading = reading;
    const kinds = KINDS.filter((kind) => current.text.search(kind) >= 0);
    if (kinds.length > 1) {
      for (const kind of kinds) readings.push(rewritten(current, escapesIn(current.text, kind)) ?? current);
    }
    reading = rewritten(current, escapesIn(current.text, ESCAPE));
  }
  return readings;
}

/** The decoded base64 in a reading, from each of four offsets, because its beginning is unknown. */
export function decodedBase64(reading: Reading): readonly Reading[] {
  const found = [...reading.text.matchAll(BASE64)];
  return found.flatMap(({ 0: run, index }) =>
    [0, 1, 2, 3].map((skipped) => {
      const text = textOf(Buffer.from(run.slice(skipped), 'base64'));
      return repeated(text, reading.starts[index] ?? 0, reading.ends[index + run.length - 1] ?? 0);
    }),
  );
}

function asIs(text: string): Reading {
  const starts = Array.from({ length: text.length }, (_, place) => place);
  return { text, starts, ends: starts.map((place) => place + 1) };
}

function repeated(text: string, start: number, end: number): Reading {
  const fill = (place: number): number[] => Array.from({ length: text.length }, () => place);
  return { text, starts: fill(start), ends: fill(end) };
}

/** A piece of a reading that stands for something else. */
interface Rewrite {
  readonly from: number;
  readonly to: number;
  readonly means: string;
}

/** The reading with the pieces replaced; undefined when there are none. */
function rewritten({ text, starts, ends }: Reading, pieces: Iterable<Rewrite>): Reading | undefined {
  let result = '';
  const newStarts: number[] = [];
  const newEnds: number[] = [];
  let place = 0;
  const keepUntil = (until: number): void => {
    result += text.slice(place, until);
    for (; place < until; place++) {
      newStarts.push(starts[place] ?? 0);
      newEnds.push(ends[place] ?? 0);
    }
  };
  for (const { from, to, means } of pieces) {
    keepUntil(from);
    result += means;
    for (let n = 0; n < means.length; n++) {
      newStarts.push(starts[from] ?? 0);
      newEnds.push(ends[to - 1] ?? 0);
    }
    place = to;
  }
  if (place === 0) return undefined;
  keepUntil(text.length);
  return { text: result, starts: newStarts, ends: newEnds };
}

function* escapesIn(text: string, kind: RegExp): Generator<Rewrite> {
  for (const { 0: escape, index } of text.matchAll(kind)) {
    yield { from: index, to: index + escape.length, means: meaningOf(escape) };
  }
}

function* invisibleParts(text: string): Generator<Rewrite> {
  for (const { 0: part, index } of text.matchAll(INVISIBLE)) yield { from: index, to: index + part.length, means: '' };
}

function meaningOf(escape: string): string {
  if (escape.startsWith('%')) return textOf(Buffer.from(escape.replaceAll('%', ''), 'hex'));
  if (escape.startsWith('&')) {
    const name = escape.slice(1, -1);
    const code = /^#x/i.test(name) ? Number.parseInt(name.slice(2), 16) : Number(name.slice(1));
    return name.startsWith('#') ? String.fromCodePoint(Math.min(code, 0x10ffff)) : (ENTITIES[name.toLowerCase()] ?? '');
  }
  if (escape.length > 2) return String.fromCharCode(Number.parseInt(escape.slice(2), 16));
  return SHORT_ESCAPES[escape.charAt(1)] ?? escape.charAt(1);
}

/** As UTF-8; bytes that are not valid UTF-8 become one character each. */
function textOf(bytes: Buffer): string {
  return bytes.toString(isUtf8(bytes) ? 'utf8' : 'latin1');
}
