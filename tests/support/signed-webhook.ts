import { batchBody } from '../../src/envelope.ts';
import type { Event } from '../../src/event.ts';
import { signingKeys } from '../../src/signing-secret.ts';
import { signatureOf } from '../../src/sinks/webhook/webhook-signature.ts';
import { wireBytes } from '../../src/wire-text.ts';
import { sampleBatch } from './sample-event.ts';

export const SECRET = `whsec_${Buffer.from('a key that both sides know').toString('base64')}`;

export interface SignedWebhookOptions {
  readonly secret?: string;
  readonly at?: Date;
}

/** What fetch needs to send these events, or this text, as the service does. */
export function signedWebhook(
  sent: readonly Event[] | string,
  { secret = SECRET, at = new Date() }: SignedWebhookOptions = {},
): { method: 'POST'; headers: Record<string, string>; body: Uint8Array<ArrayBuffer> } {
  const bytes =
    typeof sent === 'string' ? Buffer.from(sent) : wireBytes(batchBody({ sink: 'hook', batch: sampleBatch(sent) }));
  const [id, timestamp] = ['batch_1', Math.floor(at.getTime() / 1000)];
  const headers = {
    'content-type': 'application/json',
    'webhook-id': id,
    'webhook-timestamp': String(timestamp),
    'webhook-signature': signatureOf(signingKeys(secret), { id, timestamp, body: bytes }),
  };
  return { method: 'POST', headers, body: Uint8Array.from(bytes) };
}
