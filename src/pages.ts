/**
 * Where the pages are that a text names as docs/<page>.md. They come with the program, in the package as in the image, and
 * whoever reads a remedy there has no other copy at hand: so the path is given in full.
 */
import { existsSync } from 'node:fs';
import { fileURLToPath } from 'node:url';

/** Seen from src/ and from dist/src/. */
const DIRECTORY = ['../docs/', '../../docs/']
  .map((path) => fileURLToPath(new URL(path, import.meta.url)))
  .find((path) => existsSync(path));

export function withPages(text: string): string {
  return DIRECTORY === undefined ? text : text.replace(/\bdocs\/(?=[a-z-]+\.md\b)/g, () => DIRECTORY);
}
