import type { Reading } from './readings.ts';

const BLOT = '***';
const NOT_ASCII = /[^\x00-\x7f]/;
const LETTER = /[A-Z]|[^\x00-\x7f]/g;

/** Parts of an answer that must not be kept. */
export class Marks {
  private readonly marked: Uint8Array;

  constructor(length: number) {
    this.marked = new Uint8Array(length);
  }

  /** Marks the part of the answer that these characters of a reading came from. */
  add({ starts, ends }: Reading, from: number, to: number): void {
    this.marked.fill(1, starts[from], ends[to - 1]);
  }

  /** Marks every occurrence of the text. */
  addAll(
    reading: Reading,
    folded: string,
    text: string,
    fits: (from: number, to: number) => boolean = () => true,
  ): void {
    for (let at = folded.indexOf(text); at >= 0; at = folded.indexOf(text, at + 1)) {
      if (fits(at, at + text.length)) this.add(reading, at, at + text.length);
    }
  }

  /** The text without the marked parts. */
  blotted(text: string): string {
    let result = '';
    for (let place = 0; place < text.length;) {
      const next = this.marked.indexOf(this.marked[place] === 1 ? 0 : 1, place);
      const end = next < 0 || next > text.length ? text.length : next;
      result += this.marked[place] === 1 ? BLOT : text.slice(place, end);
      place = end;
    }
    return result;
  }
}

/**
 * Lower-case letters, one alphabet for both kinds of base64, and a blank for the plus of a form. Each character is replaced
 * by one, so the length stays the same and a text is folded in the same way at every position.
 */
export function fold(text: string): string {
  const lower = NOT_ASCII.test(text) ? text.replace(LETTER, lowerOf) : text.toLowerCase();
  return lower.replace(/[-\s]/g, '+').replaceAll('_', '/');
}

function lowerOf(letter: string): string {
  const lower = letter.toLowerCase();
  return lower.length === 1 ? lower : letter;
}

/** FNV-1a over some characters of a text. */
export function hashAt(text: string, from: number, length: number): number {
  let hash = 0x811c9dc5;
  for (let at = from; at < from + length; at++) hash = Math.imul(hash ^ text.charCodeAt(at), 0x01000193);
  return hash;
}
