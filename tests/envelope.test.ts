import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { batchBody, batchId, envelopeOf } from '../src/envelope.ts';
import { formatMicros } from '../src/pg-time.ts';
import type { Event } from '../src/event.ts';
import { wireBytes, wireToText } from '../src/wire-text.ts';
import { plainOrigin } from './support/plain-origin.ts';
import { sampleBatch, sampleEvent } from './support/sample-event.ts';

const scanned = plainOrigin({ commitLsn: null, xid: null, committedAtMicros: null });

const fixed = { eventId: 'e-1', organizationId: 'o-1', ordinal: 3 };

describe('an envelope', () => {
  test('of a streamed event, byte by byte', () => {
    const event = sampleEvent({
      ...fixed,
      entityType: 'job',
      entityId: '17',
      payload: '{"n": 1.10}',
      headers: '{"a": "b"}',
    });
    expect(wireToText(envelopeOf(event))).toBe(
      '{"event_id":"e-1","event_type":"job.completed","event_version":1,"organization_id":"o-1","topic":"cataloging",' +
        '"entity_type":"job","entity_id":"17","target":null,"idempotency_key":null,"payload":{"n": 1.10},"headers":{"a": "b"},' +
        '"created_at":"2026-11-20T14:00:00.123456Z","committed_at":"2026-11-20T14:00:00.130000Z",' +
        '"lsn":"0/16B3748","ordinal":3,"source":"stream","replay":null}',
    );
  });

  test('of an event that a scan found knows no place in the stream', () => {
    const event = sampleEvent({ ...fixed, origin: scanned, ordinal: null, createdAt: null });
    expect(JSON.parse(wireToText(envelopeOf(event)))).toMatchObject({
      created_at: null,
      committed_at: null,
      lsn: null,
      ordinal: null,
      source: 'table',
      replay: null,
    });
  });

  test.each([
    ['replay-17', 'replay-17'],
    ['repair-17', null],
    ['heal-17', null],
    ['redrive-17', null],
    [null, null],
  ])('sent by %s says replay %s', (job, replay) => {
    const event = sampleEvent({ ...fixed, origin: { ...scanned, job }, ordinal: null });
    expect(JSON.parse(wireToText(envelopeOf(event)))).toMatchObject({ source: 'table', replay });
  });

  test('of each transaction says its own, though the last one is remembered', () => {
    const first = sampleEvent();
    const origin = { ...first.origin, commitLsn: 0xffffffff00000001n, committedAtMicros: 0n };
    const lsnOf = (event: Event) => JSON.parse(wireToText(envelopeOf(event))) as { lsn: string; committed_at: string };
    expect(lsnOf(first)).toMatchObject({ lsn: '0/16B3748' });
    expect(lsnOf(sampleEvent({ origin }))).toMatchObject({
      lsn: 'FFFFFFFF/1',
      committed_at: '2000-01-01T00:00:00.000000Z',
    });
    expect(lsnOf(sampleEvent({ origin: first.origin }))).toMatchObject({ lsn: '0/16B3748' });
  });

  test('is JSON in UTF-8 whatever the fields hold, and carries the payload unchanged', () => {
    const text = fc.string({ unit: 'binary' }).map((value) => value.toWellFormed());
    const fields = fc.record({
      eventId: text,
      eventType: text,
      organizationId: text,
      topic: text,
      entityType: fc.option(text),
      entityId: fc.option(text),
      target: fc.option(text),
      idempotencyKey: fc.option(text),
      payload: fc.json(),
      eventVersion: fc.integer(),
    });
    fc.assert(
      fc.property(fields, (values) => {
        const bytes = wireBytes(envelopeOf(sampleEvent(values)));
        expect(bytes.includes(Buffer.from(`"payload":${values.payload},"headers"`))).toBe(true);
        expect(JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes))).toMatchObject({
          event_id: values.eventId,
          event_type: values.eventType,
          event_version: values.eventVersion,
          organization_id: values.organizationId,
          topic: values.topic,
          entity_type: values.entityType,
          entity_id: values.entityId,
          target: values.target,
          idempotency_key: values.idempotencyKey,
        });
      }),
    );
  });
});

test.each([
  [0n, '2000-01-01T00:00:00.000000Z'],
  [1n, '2000-01-01T00:00:00.000001Z'],
  [-1n, '1999-12-31T23:59:59.999999Z'],
  [-1_000_000n, '1999-12-31T23:59:59.000000Z'],
  [848_498_400_130_000n, '2026-11-20T14:00:00.130000Z'],
  [848_498_400_999_999n, '2026-11-20T14:00:00.999999Z'],
  [252_455_615_999_999_999n, '9999-12-31T23:59:59.999999Z'],
])('%s microseconds after 2000 are %s', (micros, expected) => {
  expect(formatMicros(micros)).toBe(expected);
});

describe('the id of a batch', () => {
  const a = sampleEvent({ eventId: 'a' });
  const b = sampleEvent({ eventId: 'b' });
  const id = (sink: string, job: string | null, ...events: Event[]) => batchId({ sink, job, events });

  test('is half a SHA-256 of what the batch is made of', () => {
    const text = `["n8n",null,"${a.organizationId}","a","b"]`;
    expect(id('n8n', null, a, b)).toBe(`batch_${createHash('sha256').update(text).digest('hex').slice(0, 32)}`);
  });

  test('is another for another sink, job, organization, grouping or order', () => {
    const elsewhere = sampleEvent({ eventId: 'a', organizationId: 'other' });
    const joined = sampleEvent({ eventId: 'a","b' });
    const ids = [
      id('n8n', null, a, b),
      id('n8n', null, b, a),
      id('n8n', null, a),
      id('n8n', null, elsewhere),
      id('n8n', null, joined),
      id('n8n', '1', a),
      id('n8n', 'null', a),
      id('ops', null, a),
    ];
    expect(new Set(ids).size).toBe(ids.length);
    expect(id('n8n', null, { ...a, ordinal: 9 }, b)).toBe(ids[0]);
  });

  test('is another in another lane, but for an event that has one to itself', () => {
    const inLane = (lane?: string) => batchId({ sink: 'n8n', job: null, lane, events: [a, b] });
    expect(new Set([inLane(), inLane('p'), inLane('q')]).size).toBe(3);
    expect(batchId({ sink: 'n8n', job: null, lane: 'a', events: [a] })).toBe(id('n8n', null, a));
    const batch = { ...sampleBatch([a, b]), lane: 'p' };
    expect(JSON.parse(wireToText(batchBody({ sink: 'n8n', batch })))).toMatchObject({ batch_id: inLane('p') });
  });
});

test('a body holds the envelopes of its batch', () => {
  const events = [sampleEvent({ payload: '{"é": 1}' }), sampleEvent()];
  const batch = { ...sampleBatch(events, 2), organizationId: 'größe' };
  const body = wireToText(batchBody({ sink: 'n8n', batch }));
  const id = batchId({ sink: 'n8n', job: null, events });
  expect(body).toBe(
    `{"batch_id":"${id}","organization_id":"größe","sink":"n8n","attempt":2,` +
      `"events":[${events.map((event) => wireToText(envelopeOf(event))).join(',')}]}`,
  );
  expect(JSON.parse(wireToText(batchBody({ sink: 'n8n', batch, id: 'own' })))).toMatchObject({ batch_id: 'own' });
});
