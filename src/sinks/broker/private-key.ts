import { readFileSync } from 'node:fs';

/** The private key of a client's certificate, as PEM: given as text or as a file, which is read for each connection. */
export function privateKeyOf(given: string): string {
  return given.includes('-----BEGIN') ? given : readFileSync(given.trim(), 'utf8');
}
