/**
 * Signatures as Standard Webhooks wants them: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`.
 * https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
 */
import { createHmac } from 'node:crypto';

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
