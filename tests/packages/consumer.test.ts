import { Webhook } from 'standardwebhooks';
import { describe, expect, test } from 'vitest';
import {
  EnvelopeError,
  parseEnvelope,
  parseEnvelopes,
  verifyWebhook,
  type VerifyWebhookOptions,
} from '../../packages/consumer/src/index.ts';
import { batchBody, envelopeOf } from '../../src/envelope.ts';
import { signingKeys } from '../../src/signing-secret.ts';
import { signatureOf } from '../../src/sinks/webhook/webhook-signature.ts';
import { wireBytes, wireToText } from '../../src/wire-text.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';

const NOW = new Date('2026-11-28T12:00:00Z');
const timestamp = NOW.getTime() / 1000;
const secretOf = (text: string): string => `whsec_${Buffer.from(text).toString('base64')}`;
const [first, second, plain] = [secretOf('the first key, 24 bytes.'), secretOf('the second'), 'pässwörd'];
const body = wireBytes(
  batchBody({ sink: 'hook', batch: sampleBatch([sampleEvent({ payload: '{"text": "größe"}' })]) }),
);

/** As the service signs. */
function signed(secret: string, sent: Buffer = body, at = timestamp) {
  const id = 'batch_1';
  return {
    'webhook-id': id,
    'webhook-timestamp': String(at),
    'webhook-signature': signatureOf(signingKeys(secret), { id, timestamp: at, body: sent }),
  };
}

const verify = (options: Partial<VerifyWebhookOptions>) =>
  verifyWebhook({ secrets: first, headers: signed(first), body, now: NOW, ...options });

describe('a request is verified', () => {
  test.each<[string, Partial<VerifyWebhookOptions>]>([
    ['of the service', {}],
    ['with its body as text', { body: body.toString() }],
    ['with headers of fetch', { headers: new Headers(signed(first)) }],
    [
      'with header names as they were sent',
      { headers: { 'Webhook-Signature': signed(first)['webhook-signature'], ...signed(first) } },
    ],
    ['signed by a text', { secrets: plain, headers: signed(plain) }],
    ['signed by two secrets, of which one is known', { secrets: second, headers: signed(`${first} ${second}`) }],
    ['signed by one of two that are known', { secrets: [second, first] }],
    ['signed by one of a text of two', { secrets: `${second} ${first}` }],
    ['at the edge of the tolerance', { now: new Date(NOW.getTime() + 300_000) }],
    ['within a tolerance of its own', { now: new Date(NOW.getTime() - 900_000), toleranceSeconds: 900 }],
  ])('%s', async (_, options) => {
    expect(await verify(options)).toEqual({ id: 'batch_1', timestamp: NOW });
  });

  test('signed by the standardwebhooks package', async () => {
    const signature = new Webhook(first).sign('msg_1', NOW, body.toString());
    const headers = { 'webhook-id': 'msg_1', 'webhook-timestamp': `${timestamp}`, 'webhook-signature': signature };
    expect(await verify({ headers })).toMatchObject({ id: 'msg_1' });
  });
});

describe('a request is refused', () => {
  const right = signed(first);
  test.each<[string, string, Partial<VerifyWebhookOptions>]>([
    ['with another body', 'signature', { body: `${body.toString()} ` }],
    ['with another id', 'signature', { headers: { ...right, 'webhook-id': 'batch_2' } }],
    ['with another time', 'signature', { headers: { ...right, 'webhook-timestamp': `${timestamp + 1}` } }],
    ['signed by an unknown secret', 'signature', { headers: signed(second) }],
    [
      'with a signature of another version',
      'signature',
      { headers: { ...right, 'webhook-signature': right['webhook-signature'].replace('v1,', 'v2,') } },
    ],
    [
      'with a signature that is cut',
      'signature',
      { headers: { ...right, 'webhook-signature': right['webhook-signature'].slice(0, 27) } },
    ],
    ['too old', 'timestamp', { now: new Date(NOW.getTime() + 301_000) }],
    ['of the future', 'timestamp', { now: new Date(NOW.getTime() - 301_000) }],
    ['with a time that is no number', 'timestamp', { headers: { ...right, 'webhook-timestamp': '1e9' } }],
    ['without an id', 'header', { headers: { ...right, 'webhook-id': undefined } }],
    ['with two signature headers', 'header', { headers: { ...right, 'webhook-signature': ['v1,a', 'v1,b'] } }],
    ['without headers of fetch', 'header', { headers: new Headers() }],
    ['by a secret that is no base64', 'secret', { secrets: 'whsec_!' }],
    ['by an empty secret', 'secret', { secrets: ['', first] }],
    ['by no secret', 'secret', { secrets: [] }],
  ])('%s', async (_, fault, options) => {
    await expect(verify(options)).rejects.toMatchObject({ name: 'WebhookVerificationError', fault });
  });
});

describe('a body is read', () => {
  test('as a batch, with the fields of a later version', () => {
    const later = body.toString().replace('"attempt":1', '"attempt":1,"new":true');
    expect(parseEnvelopes<{ text: string }>(later).events[0]?.payload.text).toBe('größe');
    expect(parseEnvelopes(body)).toEqual(JSON.parse(body.toString()));
  });

  test('as one event', () => {
    const text = wireToText(envelopeOf(sampleEvent({ payload: 'null' })));
    expect(parseEnvelope(text)).toEqual(JSON.parse(text));
  });

  test.each([
    ['no JSON', 'secret{', 'the body is no JSON in UTF-8'],
    ['no UTF-8', Buffer.from('{"ä": 1}', 'latin1'), 'the body is no JSON in UTF-8'],
    ['no object', '[]', 'the body is no object'],
    ['no batch', '{"batch_id": 1}', 'the body has no batch_id, or one that is not text'],
    [
      'an event without a payload',
      body.toString().replace('"payload":', '"data":'),
      'events[0] has no payload, or one that is not any',
    ],
  ])('not of %s', (_, given, message) => {
    expect(() => parseEnvelopes(given)).toThrow(new EnvelopeError(message));
  });
});
