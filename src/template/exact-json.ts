/**
 * JSON for templates. JSON.parse rounds a number that does not fit a double, and drops a trailing zero: 12345678901234567890
 * and 1.10 would leave as other numbers. Such a number becomes an ExactNumber, which prints as it was written and compares
 * by its value. Arithmetic filters compute with doubles.
 */
import { randomUUID } from 'node:crypto';
import { Drop } from 'liquidjs';

/** Stands before the digits while JSON.parse and JSON.stringify carry them as text. No payload can hold it. */
const MARK = `${randomUUID()}:`;
const STRING_OR_NUMBER = /"(?:[^"\\]+|\\.)*"|-?\d[\d.eE+-]*/g;
const MARKED = new RegExp(`"${MARK}([^"]*)"`, 'g');

export class ExactNumber extends Drop {
  private readonly text: string;

  constructor(text: string) {
    super();
    this.text = text;
  }

  override valueOf(): string {
    return this.text;
  }

  override toString(): string {
    return this.text;
  }

  toJSON(): string {
    return MARK + this.text;
  }

  equals(other: unknown): boolean {
    return other instanceof ExactNumber ? other.text === this.text || +other.text === +this.text : +this.text === other;
  }

  gt(other: unknown): boolean {
    return +this.text > Number(other);
  }

  geq(other: unknown): boolean {
    return +this.text >= Number(other);
  }

  lt(other: unknown): boolean {
    return +this.text < Number(other);
  }

  leq(other: unknown): boolean {
    return +this.text <= Number(other);
  }
}

/** Throws a SyntaxError for what is not JSON. */
export function parseExact(text: string): unknown {
  let isInexact = false;
  const marked = text.replace(STRING_OR_NUMBER, (token) => {
    if (token.startsWith('"') || String(Number(token)) === token) return token;
    isInexact = true;
    return `"${MARK}${token}"`;
  });
  if (!isInexact) return JSON.parse(text) as unknown;
  return JSON.parse(marked, (_, value: unknown) =>
    typeof value === 'string' && value.startsWith(MARK) ? new ExactNumber(value.slice(MARK.length)) : value,
  ) as unknown;
}

/** The value as JSON; `null` for what JSON does not know. */
export function printExact(value: unknown): string {
  return (JSON.stringify(value) ?? 'null').replace(MARKED, '$1');
}
