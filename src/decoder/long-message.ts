/**
 * A long message of wal2json, read from its bytes.
 *
 * Any role may write a message, and a row may be anything, up to the gigabyte that the server has room for: more than a
 * string may hold, and more than the process may have memory for. So first it is found where the strings lie and how many
 * bytes they say; text is made of what is wanted, and of no more.
 */
import { malformed } from './byte-cursor.ts';
import { BYTEA, parseJson } from './wal2json-message.ts';

type Node = Piece | Node[] | Members | boolean | null;

/** An object of the message. */
interface Members {
  readonly [key: string]: Node;
}

const SPACE = 0x20;
const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const LETTER_U = 0x75;
/** Of an escape like \u0001, which is one byte: wal2json writes no other characters so. */
const UNICODE_ESCAPE = 6;
/** A message is an object with a list of objects. */
const DEEPEST = 4;

/** A string or a number of the message: where it lies, without quotes, and how many bytes it says. */
export class Piece {
  readonly size: number;
  private readonly bytes: Buffer;
  private readonly start: number;
  private readonly end: number;

  constructor(bytes: Buffer, place: { readonly start: number; readonly end: number; readonly size: number }) {
    this.bytes = bytes;
    this.start = place.start;
    this.end = place.end;
    this.size = place.size;
  }

  /** Wire text of the first bytes. */
  text(most: number): string {
    const isPlain = this.size === this.end - this.start;
    const raw = this.bytes.toString('latin1', this.start, this.size <= most ? this.end : this.cut(most));
    return isPlain ? raw : String(parseJson(`"${raw}"`));
  }

  /** Where at most so many bytes end, outside an escape. */
  private cut(most: number): number {
    const end = Math.min(this.end, this.start + most);
    for (let at = this.start; ;) {
      const next = at + (this.bytes[at] === BACKSLASH ? escapeLength(this.bytes, at) : 1);
      if (next > end) return at;
      at = next;
    }
  }
}

/** The message with pieces in the place of strings and numbers. */
export function piecesOf(payload: Buffer): Members {
  const message = new Reader(payload).read(0);
  if (!isMembers(message)) throw malformed('A message of wal2json has no action.');
  return message;
}

/** The same as JSON.parse gives, with numbers as text, and of each string the first `most` bytes. */
export function plain(node: Node, most: number): unknown {
  if (node instanceof Piece) return node.text(most);
  if (Array.isArray(node)) return node.map((item) => plain(item, most));
  if (!isMembers(node)) return node;
  return Object.fromEntries(Object.entries(node).map(([key, value]) => [key, plain(value, most)]));
}

/** Bytes of the values of all columns, as Postgres prints them. */
export function valueBytes({ columns }: Members): number {
  if (!Array.isArray(columns)) return 0;
  let sum = 0;
  for (const column of columns) {
    if (!isMembers(column)) continue;
    const { typeoid, value } = column;
    const isBytea = typeoid instanceof Piece && typeoid.text(8) === String(BYTEA);
    if (value instanceof Piece) sum += value.size + (isBytea ? 2 : 0);
    else if (typeof value === 'boolean') sum += 1;
  }
  return sum;
}

const isMembers = (node: Node | undefined): node is Members =>
  typeof node === 'object' && node !== null && !Array.isArray(node) && !(node instanceof Piece);

const escapeLength = (bytes: Buffer, at: number): number => (bytes[at + 1] === LETTER_U ? UNICODE_ESCAPE : 2);

/** JSON as wal2json writes it. */
class Reader {
  private readonly bytes: Buffer;
  private at = 0;

  constructor(bytes: Buffer) {
    this.bytes = bytes;
  }

  read(depth: number): Node {
    if (depth > DEEPEST) throw notJson();
    switch (this.next()) {
      case 0x7b: // {
        return this.members(depth);
      case 0x5b: // [
        return this.items(depth);
      case QUOTE:
        return this.string();
      default:
        return this.word();
    }
  }

  private members(depth: number): Node {
    const members: Record<string, Node> = {};
    this.each(0x7d, () => {
      const key = this.string().text(64);
      this.expect(0x3a);
      members[key] = this.read(depth + 1);
    });
    return members;
  }

  private items(depth: number): Node {
    const items: Node[] = [];
    this.each(0x5d, () => items.push(this.read(depth + 1)));
    return items;
  }

  private each(closing: number, item: () => void): void {
    this.at += 1;
    if (this.next() !== closing) {
      item();
      while (this.next() === COMMA) {
        this.at += 1;
        item();
      }
    }
    this.expect(closing);
  }

  private string(): Piece {
    this.expect(QUOTE);
    const start = this.at;
    const quote = this.bytes.indexOf(QUOTE, start);
    const escape = this.bytes.subarray(start, Math.max(start, quote)).indexOf(BACKSLASH);
    const { end, escaped } = escape < 0 ? { end: quote, escaped: 0 } : this.endOfString(start + escape);
    if (end < 0) throw notJson();
    this.at = end + 1;
    return new Piece(this.bytes, { start, end, size: end - start - escaped });
  }

  /** From its first escape on; several times slower than a search for one byte. */
  private endOfString(from: number): { readonly end: number; readonly escaped: number } {
    const bytes = this.bytes;
    let at = from;
    let escaped = 0;
    for (; bytes[at] !== QUOTE; at++) {
      if (at >= bytes.length) throw notJson();
      if (bytes[at] !== BACKSLASH) continue;
      const more = escapeLength(bytes, at) - 1;
      escaped += more;
      at += more;
    }
    return { end: at, escaped };
  }

  /** A number, or true, false, null. */
  private word(): Node {
    const start = this.at;
    while (isWord(this.bytes[this.at])) this.at += 1;
    const word = this.bytes.toString('latin1', start, Math.min(this.at, start + 5));
    if (word === 'null') return null;
    if (word === 'true' || word === 'false') return word === 'true';
    if (word === '') throw notJson();
    return new Piece(this.bytes, { start, end: this.at, size: this.at - start });
  }

  private expect(byte: number): void {
    if (this.next() !== byte) throw notJson();
    this.at += 1;
  }

  /** The next byte that is no space. */
  private next(): number | undefined {
    while (this.bytes[this.at] === SPACE) this.at += 1;
    return this.bytes[this.at];
  }
}

/** Letters, digits, `+`, `-`, `.`. */
const isWord = (byte: number | undefined): boolean =>
  byte !== undefined &&
  (byte === 0x2b || byte === 0x2d || byte === 0x2e || (byte >= 0x30 && byte <= 0x39) || (byte >= 0x41 && byte <= 0x7a));

const notJson = (): Error => malformed('A message of wal2json is not JSON.');
