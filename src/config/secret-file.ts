/** `${file:/run/secrets/x}`: a secret in a file of its own, as orchestrators mount it. Unlike the environment it can change. */
import { readFileSync } from 'node:fs';
import { isAbsolute } from 'node:path';

/** No secret is longer; what is, is the wrong file. */
const MOST_BYTES = 1024 ** 2;

/** Takes the message of a fault below. */
export function isAbsentFile(fault: string): boolean {
  return /^needs the file .*, which cannot be read \(/.test(fault);
}

/** The text without the line breaks that editors put at its end, or what is wrong, in words that hold nothing of it. */
export function secretFromFile(path: string): { readonly text: string } | { readonly fault: string } {
  if (!isAbsolute(path)) {
    return { fault: 'names a file by a path that is not absolute; write ${file:/run/secrets/x}' };
  }
  let bytes: Buffer;
  try {
    bytes = readFileSync(path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code ?? 'unknown error';
    return { fault: `needs the file ${path}, which cannot be read (${code})` };
  }
  if (bytes.length > MOST_BYTES) return { fault: `needs the file ${path}, which is too large for a secret` };
  const text = bytes.toString('utf8').replace(/[\r\n]+$/, '');
  return text === '' ? { fault: `needs the file ${path}, which is empty` } : { text };
}
