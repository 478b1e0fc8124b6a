/** The public key that tokens are checked with: a file in PEM, or its text. */
import { createPublicKey, type KeyObject } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { WalpostError } from './errors.ts';

export type TokenAlgorithm = 'RS256' | 'ES256' | 'EdDSA';

export interface TokenKey {
  readonly key: KeyObject;
  /** The only one that the key is used with. */
  readonly algorithm: TokenAlgorithm;
}

const LEAST_RSA_BITS = 2048;

/** What is wrong with it; undefined when tokens can be checked with it. */
export function publicKeyProblem(given: string): string | undefined {
  const read = readKey(given);
  return typeof read === 'string' ? read : undefined;
}

/** Throws CONFIG_INVALID when the file has changed for the worse since it was checked. */
export function publicKeyOf(given: string): TokenKey {
  const read = readKey(given);
  if (typeof read !== 'string') return read;
  throw new WalpostError('CONFIG_INVALID', { detail: `live.public_key ${read}.` });
}

function readKey(given: string): TokenKey | string {
  let text = given;
  try {
    if (!given.includes('-----BEGIN')) text = readFileSync(given.trim(), 'utf8');
  } catch (error) {
    return `cannot be read (${error instanceof Error && 'code' in error ? String(error.code) : 'unknown error'})`;
  }
  if (text.includes('PRIVATE KEY')) return 'is a private key; only the public one is needed';
  try {
    const key = createPublicKey(text);
    const algorithm = algorithmOf(key);
    return algorithm === undefined ? 'is of a kind that tokens are not checked with here' : { key, algorithm };
  } catch {
    return 'is no public key in PEM';
  }
}

function algorithmOf({
  asymmetricKeyType: type,
  asymmetricKeyDetails: details,
}: KeyObject): TokenAlgorithm | undefined {
  if (type === 'rsa' && (details?.modulusLength ?? 0) >= LEAST_RSA_BITS) return 'RS256';
  if (type === 'ec' && details?.namedCurve === 'prime256v1') return 'ES256';
  return type === 'ed25519' ? 'EdDSA' : undefined;
}
