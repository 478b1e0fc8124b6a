import { describe, expect, test } from 'vitest';
import { CONTENT_LIMIT } from '../../src/decoder/signed-messages.ts';
import { KeysOutdated } from '../../src/emit-key.ts';
import type { EmitKey } from '../../src/emit-key.ts';
import type { Event, Origin } from '../../src/event.ts';
import type { Decoder } from '../../src/pipeline.ts';
import { wireToText } from '../../src/wire-text.ts';
import { OUTBOX_COLUMNS, outboxCells, outboxDecoder } from '../support/outbox-stream.ts';
import { beginBytes, commitBytes, insertBytes, messageBytes, relationBytes } from '../support/pgoutput-bytes.ts';
import { fieldsOf } from '../support/sample-event.ts';
import { EMITTED, SECRET, type SignedContent, signedContent } from '../support/signed-content.ts';

const relation = relationBytes({ columns: OUTBOX_COLUMNS });
const message = (content: string | Buffer | SignedContent): Buffer =>
  messageBytes('walpost', typeof content === 'string' || Buffer.isBuffer(content) ? content : signedContent(content));

interface Scene {
  readonly decoder: Decoder;
  readonly refused: string[];
  readonly asked: [number, Origin][];
}

/** A decoder in the middle of transaction 777, with one key, number 1, unless `answer` says otherwise. */
function midway(answer: (id: number) => EmitKey = (id) => (id === 1 ? SECRET : 'unknown_key')): Scene {
  const refused: string[] = [];
  const asked: [number, Origin][] = [];
  const keyOf = (id: number, origin: Origin): EmitKey => {
    asked.push([id, origin]);
    return answer(id);
  };
  const decoder = outboxDecoder({ messages: { keyOf, onRefused: (reason) => refused.push(reason) } });
  for (const bytes of [beginBytes(), relation]) decoder.decode(bytes);
  return { decoder, refused, asked };
}

test('a signed message is an event like one of a row, and stays so when its bytes are gone', () => {
  const { decoder, refused, asked } = midway();
  const bytes = message({});
  const size = signedContent().length;
  const event = decoder.decode(bytes) as Event;
  bytes.fill(0xff);
  for (let twice = 0; twice < 2; twice++) {
    expect({ ...fieldsOf(event), payload: wireToText(event.payload), headers: wireToText(event.headers) }).toEqual({
      kind: 'event',
      eventId: EMITTED[0],
      organizationId: EMITTED[1],
      eventType: 'größe.known',
      eventVersion: 2,
      topic: 'cataloging',
      entityType: 'job',
      entityId: null,
      target: null,
      idempotencyKey: null,
      payload: EMITTED[8],
      headers: EMITTED[9],
      createdAt: '2026-11-20T14:00:00.123456Z',
      expiresAt: null,
      origin: event.origin,
      ordinal: 0,
      size,
      parkedId: null,
    });
    decoder.decode(message({ fields: [...EMITTED.slice(0, 2), 'another', ...EMITTED.slice(3)] }));
  }
  expect(asked[0]).toEqual([1, event.origin]);
  expect(refused).toEqual([]);
});

test('a message may say when its event expires', () => {
  const { decoder, refused } = midway();
  const fields = [...EMITTED, '2026-11-20 15:00:00.5+00'];
  expect(decoder.decode(message({ fields }))).toMatchObject({
    kind: 'event',
    expiresAt: '2026-11-20T15:00:00.500000Z',
  });
  expect(decoder.decode(message({}))).toMatchObject({ kind: 'event', expiresAt: null });
  expect(decoder.decode(message({ fields: [...fields, 'more'] }))).toBeUndefined();
  expect(refused).toEqual(['unsigned']);
});

test('rows and messages of one transaction are numbered in the order in which they were written', () => {
  const { decoder } = midway();
  const steps = [insertBytes(outboxCells()), message({}), message('unsigned'), insertBytes(outboxCells()), message({})];
  const ordinals = steps.map((bytes) => {
    const step = decoder.decode(bytes);
    return step?.kind === 'event' ? step.ordinal : undefined;
  });
  expect(ordinals).toEqual([0, 1, undefined, 3, 4]);
});

test('the ids of transactions have 64 bits in the message and 32 in the stream', () => {
  const { decoder, refused } = midway();
  expect(decoder.decode(message({ xid: 5n * 2n ** 32n + 777n }))).toMatchObject({ kind: 'event' });
  expect(refused).toEqual([]);
});

describe('what is refused', () => {
  const content = signedContent();
  const flipped = (at: number): Buffer => {
    const bytes = Buffer.from(content);
    bytes[at] = (bytes[at] ?? 0) ^ 1;
    return bytes;
  };
  const size = content.indexOf('\n');

  test.each<[string, string, string | Buffer | SignedContent]>([
    ['nothing', 'unsigned', ''],
    ['text', 'unsigned', 'hello'],
    ['a signature without a message', 'unsigned', 'a'.repeat(64)],
    ['capital digits', 'unsigned', content.toString('latin1', 0, 64).toUpperCase() + content.toString('utf8', 64)],
    ['another version', 'unsigned', content.toString().replace(' 1 1 ', ' 2 1 ')],
    ['a byte too few', 'unsigned', content.subarray(0, -1)],
    ['a byte too many', 'unsigned', Buffer.concat([content, Buffer.of(0)])],
    ['sizes that do not add up, though signed', 'unsigned', { sizes: [36, 36, 12, 1, 10, 3, '-', '-', 1, 1, 1] }],
    ['a field too few, though signed', 'unsigned', { fields: EMITTED.slice(1) }],
    [
      'more than any event has',
      'unsigned',
      { fields: [...EMITTED.slice(0, 8), 'x'.repeat(4 << 20), ...EMITTED.slice(9)] },
    ],
    ['a key that is not there', 'unknown_key', { key: 2 }],
    ['another secret', 'wrong_signature', { secret: Buffer.alloc(32, 8) }],
    ['a changed signature', 'wrong_signature', Buffer.concat([Buffer.from('0'.repeat(64)), content.subarray(64)])],
    ['a changed transaction', 'wrong_signature', content.toString().replace(' 777 ', ' 778 ')],
    ['a changed event id', 'wrong_signature', flipped(size + 1)],
    ['a changed organization', 'wrong_signature', flipped(size + 40)],
    ['a changed payload', 'wrong_signature', flipped(content.indexOf('12345'))],
    ['a changed time', 'wrong_signature', flipped(content.length - 5)],
    ['a field that was moved into the next', 'wrong_signature', content.toString().replace(' 36 36 ', ' 35 37 ')],
    ['a copy from another transaction', 'wrong_transaction', { xid: 776n }],
  ])('%s: %s', (_, reason, written) => {
    const { decoder, refused } = midway();
    expect(decoder.decode(message(written))).toBeUndefined();
    expect(refused).toEqual([reason]);
    expect(decoder.decode(message({}))).toMatchObject({ kind: 'event', ordinal: 1 });
  });

  test('every single bit counts', () => {
    const { decoder, refused } = midway();
    for (let at = 0; at < content.length; at++)
      expect(decoder.decode(message(flipped(at))), `byte ${at}`).toBeUndefined();
    expect(refused).toHaveLength(content.length);
  });

  test('a key that has expired', () => {
    const { decoder, refused } = midway(() => 'expired_key');
    expect(decoder.decode(message({}))).toBeUndefined();
    expect(refused).toEqual(['expired_key']);
  });

  test('one outside a transaction, which takes no place in any', () => {
    const { decoder, refused } = midway();
    const outside = messageBytes('walpost', signedContent(), false);
    expect(decoder.decode(outside)).toBeUndefined();
    expect(decoder.decode(message({}))).toMatchObject({ ordinal: 0 });
    decoder.decode(commitBytes());
    expect(decoder.decode(outside)).toBeUndefined();
    expect(refused).toEqual(['not_transactional', 'not_transactional']);
  });
});

test('messages with another prefix are none of ours, and with messages off none is', () => {
  const { decoder, refused } = midway();
  expect(decoder.decode(messageBytes('walpost2', signedContent()))).toBeUndefined();
  expect(refused).toEqual([]);
  const off = outboxDecoder();
  off.decode(beginBytes());
  expect(off.decode(message({}))).toBeUndefined();
});

test('while the key may be newer than the reading nothing of the message is used, and it can be decoded again', () => {
  let known = false;
  const { decoder, refused } = midway(() => (known ? SECRET : 'outdated'));
  expect(() => decoder.decode(message({}))).toThrow(KeysOutdated);
  known = true;
  expect(decoder.decode(message({}))).toMatchObject({ kind: 'event', ordinal: 0 });
  expect(refused).toEqual([]);
});

test('what is signed and still no event, as a database in SQL_ASCII may write it, is a poison', () => {
  const { decoder } = midway();
  const fields = [...EMITTED.slice(0, 2), Buffer.of(0xe9), ...EMITTED.slice(3)];
  expect(decoder.decode(message({ fields }))).toMatchObject({
    kind: 'poison',
    reason: 'event_type is not valid UTF-8',
    organizationId: EMITTED[1],
    ordinal: 0,
  });
});

test('a message of 4 MiB is read, and one of a byte more is not looked at', () => {
  const { decoder, refused, asked } = midway();
  const withPayload = (length: number): Buffer =>
    signedContent({ fields: EMITTED.map((field, index) => (index === 8 ? `"${'x'.repeat(length - 2)}"` : field)) });
  const length = CONTENT_LIMIT - (withPayload(CONTENT_LIMIT).length - CONTENT_LIMIT);
  const longest = withPayload(length);
  expect(longest.length).toBe(4 * 1024 ** 2);
  expect(decoder.decode(message(longest))).toMatchObject({ kind: 'event', size: longest.length });
  expect(asked).toHaveLength(1);
  expect(decoder.decode(message(withPayload(length + 1)))).toBeUndefined();
  expect(asked).toHaveLength(1);
  expect(refused).toEqual(['unsigned']);
});
