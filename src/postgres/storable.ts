/** Text in a form that a database takes, whatever its encoding. */
import { WalpostError } from '../errors.ts';
import { sqlStateOf } from './sqlstate.ts';

/**
 * Values that the server cannot take: of no character in its encoding, out of range, too long for an index, against a
 * constraint. Trying again is of no use.
 */
export function refusesContent(error: unknown): boolean {
  return /^(22|23|54)/.test(stateOf(error) ?? '');
}

/** The SQLSTATE of an error, or of the one that it was made of. */
export function stateOf(error: unknown): string | undefined {
  return sqlStateOf(error instanceof WalpostError ? error.cause : error);
}

/** ASCII, with everything else as \uXXXX: every encoding holds it, and JSON that is written so says the same. */
export function asciiText(text: string): string {
  return text.replace(/[^\t\n\r -~]/g, (unit) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`);
}
