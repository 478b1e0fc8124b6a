/**
 * Signatures as Standard Webhooks wants them: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
import { createHmac } from 'node:crypto';

const PREFIX = 'whsec_';
const BASE64 = /^(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}(?:==)?|[A-Za-z0-9+/]{3}=?)?$/;

/**
 * The keys of a configured secret: `whsec_` and base64, or any other text as its UTF-8 bytes. Several `whsec_` secrets
 * separated by blanks sign side by side, so that a receiver can change from one to the next without losing a request.
 * Undefined when what follows `whsec_` is not base64.
 */
export function signingKeys(secret: string): readonly Buffer[] | undefined {
  if (!secret.startsWith(PREFIX)) return [Buffer.from(secret, 'utf8')];
  const keys: Buffer[] = [];
  for (const part of secret.trim().split(/\s+/)) {
    const encoded = part.startsWith(PREFIX) ? part.slice(PREFIX.length) : '';
    if (encoded === '' || !BASE64.test(encoded)) return undefined;
    keys.push(Buffer.from(encoded, 'base64'));
  }
  return keys;
}

export interface SignedMessage {
  readonly id: string;
  /** Seconds since the Unix epoch. */
  readonly timestamp: number;
  readonly body: Buffer;
}

/** The value of `webhook-signature`: one signature a key. */
export function signatureOf(keys: readonly Buffer[], { id, timestamp, body }: SignedMessage): string {
  const sign = (key: Buffer): string =>
    `v1,${createHmac('sha256', key).update(`${id}.${timestamp}.`).update(body).digest('base64')}`;
  return keys.map(sign).join(' ');
}
