import { createHash, timingSafeEqual } from 'node:crypto';

/** Compares `Authorization: Bearer …` with the token in constant time, whatever their lengths. */
export function bearerMatches(authorization: string | undefined, token: string): boolean {
  const given = /^Bearer +(\S+) *$/i.exec(authorization ?? '')?.[1];
  return given !== undefined && timingSafeEqual(digest(given), digest(token));
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}
