/** The packages say of the service's output what is true: names, types and signatures are compared with what it sends. */
import { once } from 'node:events';
import { createServer, type IncomingHttpHeaders } from 'node:http';
import type { AddressInfo } from 'node:net';
import fc from 'fast-check';
import { expect, test } from 'vitest';
import {
  type Envelope,
  type EnvelopeBatch,
  parseEnvelopes,
  verifyWebhook,
  WEBHOOK_HEADERS,
} from '../../packages/consumer/src/index.ts';
import { signingKeys as keysOfPackage } from '../../packages/vocabulary/signature.ts';
import { testContext } from '../../src/sink/testing/harness.ts';
import { webhook } from '../../src/config/sinks/webhook.ts';
import { batchBody, type sourceOf } from '../../src/envelope.ts';
import { createWebhookSink } from '../../src/sinks/webhook/webhook-sink.ts';
import { signingKeys, signingSecretProblem } from '../../src/signing-secret.ts';
import { wireToText } from '../../src/wire-text.ts';
import { plainOrigin } from '../support/plain-origin.ts';
import { requestBody } from '../support/request-body.ts';
import { sampleBatch, sampleEvent } from '../support/sample-event.ts';

/** Does not compile when a field of the types is missing here, or one that they do not have is named. */
const ENVELOPE: Readonly<Record<keyof Envelope, true>> = {
  event_id: true,
  event_type: true,
  event_version: true,
  organization_id: true,
  topic: true,
  entity_type: true,
  entity_id: true,
  target: true,
  idempotency_key: true,
  payload: true,
  headers: true,
  created_at: true,
  committed_at: true,
  lsn: true,
  ordinal: true,
  source: true,
  replay: true,
};
const BATCH: Readonly<Record<keyof EnvelopeBatch, true>> = {
  batch_id: true,
  organization_id: true,
  sink: true,
  attempt: true,
  events: true,
};

type Same<A, B> = [A] extends [B] ? ([B] extends [A] ? true : false) : false;
const sources: Same<Envelope['source'], ReturnType<typeof sourceOf>> = true;

test('the types have the fields that the service writes, in any event, and no others', () => {
  expect(sources).toBe(true);
  const text = fc.string({ unit: 'binary' }).map((value) => value.toWellFormed());
  const maybe = fc.option(text);
  const origin = fc.record({
    commitLsn: fc.option(fc.bigInt({ min: 0n, max: 2n ** 64n - 1n })),
    committedAtMicros: fc.option(fc.bigInt({ min: 0n, max: 10n ** 15n })),
    job: fc.constantFrom(null, 'replay-1', 'heal-2'),
  });
  const fields = fc.record({
    eventId: text,
    eventType: text,
    eventVersion: fc.nat(32_767),
    topic: text,
    entityType: maybe,
    entityId: maybe,
    target: maybe,
    idempotencyKey: maybe,
    createdAt: fc.constantFrom(null, '2026-11-20T14:00:00.123456Z'),
    ordinal: fc.option(fc.nat()),
    payload: fc.json(),
  });
  fc.assert(
    fc.property(fields, origin, (given, from) => {
      const event = sampleEvent({ ...given, origin: plainOrigin(from) });
      const body = wireToText(batchBody({ sink: 'hook', batch: sampleBatch([event]) }));
      const batch = parseEnvelopes(body);
      expect(Object.keys(batch).toSorted()).toEqual(Object.keys(BATCH).toSorted());
      expect(Object.keys(batch.events[0] ?? {}).toSorted()).toEqual(Object.keys(ENVELOPE).toSorted());
      expect(batch).toEqual(JSON.parse(body));
      expect(batch.events[0]).toMatchObject({ event_type: given.eventType, event_version: given.eventVersion });
    }),
    { numRuns: 50 },
  );
});

test('a secret that the service takes has the same keys', () => {
  const base64 = fc.uint8Array({ minLength: 16 }).map((bytes) => `whsec_${Buffer.from(bytes).toString('base64')}`);
  const secret = fc.oneof(
    base64,
    fc.tuple(base64, base64).map((both) => both.join('  ')),
    fc.string({ minLength: 1 }),
  );
  const padded = base64.map((text) => ` ${text}\n`);
  fc.assert(
    fc.property(fc.oneof(secret, padded), (given) => {
      fc.pre(given.trim() !== '' && signingSecretProblem(given) === undefined);
      const own = signingKeys(given).map((key) => key.toString('hex'));
      expect(keysOfPackage(given)?.map((key) => Buffer.from(key).toString('hex'))).toEqual(own);
    }),
  );
});

test('the webhook sink sends the headers that are named, and its request passes', async () => {
  const requests: { readonly headers: IncomingHttpHeaders; readonly body: Buffer }[] = [];
  const server = createServer((request, response) => {
    void requestBody(request).then((body) => {
      if (body !== null) requests.push({ headers: request.headers, body });
      response.end();
    });
  }).listen(0, '127.0.0.1');
  await once(server, 'listening');
  const secret = 'a secret of any text';
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/`;
  const config = webhook.parse({ type: 'webhook', url, allow_private: true, secret, batch: false });
  const sink = createWebhookSink(config, { ...testContext, name: 'hook' });
  const event = sampleEvent({ idempotencyKey: 'key-1' });
  expect(await sink.deliver(sampleBatch([event]), new AbortController().signal)).toEqual([{ kind: 'delivered' }]);
  const [request] = requests;
  expect(Object.keys(request?.headers ?? {})).toEqual(expect.arrayContaining(Object.values(WEBHOOK_HEADERS)));
  expect(request?.headers[WEBHOOK_HEADERS.eventType]).toBe(event.eventType);
  expect(request?.headers[WEBHOOK_HEADERS.idempotencyKey]).toBe('key-1');
  const { headers = {}, body = Buffer.alloc(0) } = request ?? {};
  const { id } = await verifyWebhook({ secrets: secret, headers, body });
  expect(parseEnvelopes(body)).toMatchObject({ batch_id: id, events: [{ event_id: event.eventId }] });
  await sink.close();
  server.close();
});
