/** Certificates of private authorities: a file in PEM, or its text. */
import { X509Certificate } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { WalpostError } from './errors.ts';

const CERTIFICATE = /-----BEGIN CERTIFICATE-----[\s\S]*?-----END CERTIFICATE-----/g;

/** What is wrong with it; undefined when there are certificates in it, and nothing but readable ones. */
export function certificateProblem(given: string): string | undefined {
  const text = textOf(given);
  if (typeof text !== 'string') return `cannot be read (${text.code ?? 'unknown error'})`;
  const certificates = text.match(CERTIFICATE) ?? [];
  if (certificates.length === 0) return 'holds no certificate; it must be PEM, with BEGIN CERTIFICATE';
  return certificates.every(isReadable) ? undefined : 'holds a certificate that cannot be read';
}

/** The text in PEM. Throws CONFIG_INVALID when the file has changed for the worse since it was checked. */
export function certificatesOf(given: string): string {
  const problem = certificateProblem(given);
  const text = textOf(given);
  if (problem === undefined && typeof text === 'string') return text;
  throw new WalpostError('CONFIG_INVALID', { detail: `The file of certificates ${problem ?? 'cannot be read'}.` });
}

function textOf(given: string): string | NodeJS.ErrnoException {
  if (given.includes('-----BEGIN')) return given;
  try {
    return readFileSync(given.trim(), 'utf8');
  } catch (error) {
    return error as NodeJS.ErrnoException;
  }
}

function isReadable(text: string): boolean {
  try {
    return new X509Certificate(text).subject !== '';
  } catch {
    return false;
  }
}
