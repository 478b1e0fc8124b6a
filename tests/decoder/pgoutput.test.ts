import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { EVENT_FIELDS } from '../../src/postgres/source/column-mapping.ts';
import type { Event } from '../../src/event.ts';
import type { Decoder } from '../../src/pipeline.ts';
import { wireBytes, wireToText } from '../../src/wire-text.ts';
import { decodeRow, OUTBOX_COLUMNS, outboxCells, outboxDecoder } from '../support/outbox-stream.ts';
import {
  beginBytes,
  commitBytes,
  deleteBytes,
  insertBytes,
  messageBytes,
  OID,
  originBytes,
  relationBytes,
  truncateBytes,
  typeBytes,
  updateBytes,
} from '../support/pgoutput-bytes.ts';
import { fieldsOf } from '../support/sample-event.ts';
import { beginPlain } from '../support/plain-origin.ts';

const relation = relationBytes({ columns: OUTBOX_COLUMNS });
const other = relationBytes({ id: 99, schema: 'public', name: 'users', columns: [['id', OID.int8]] });

/** A decoder in the middle of a transaction that knows the outbox and another table. */
function midway(onIgnored?: (kind: string, table: string) => void): Decoder {
  const decoder = outboxDecoder(onIgnored ? { onIgnored } : {});
  for (const message of [beginBytes(), relation, other]) decoder.decode(message);
  return decoder;
}

test('a transaction becomes begin, events and commit', () => {
  const decoder = outboxDecoder();
  const begin = decoder.decode(beginBytes({ commitLsn: 0x1_0000_0001n, micros: -1n, xid: 4_294_967_295 }));
  expect(begin).toEqual({ kind: 'begin', origin: beginPlain(0x1_0000_0001n, 4_294_967_295, -1n) });
  expect(decoder.decode(relation)).toBeUndefined();
  const insert = insertBytes(outboxCells());
  const event = decoder.decode(insert) as Event;
  expect({ ...fieldsOf(event), payload: wireToText(event.payload), headers: wireToText(event.headers) }).toEqual({
    kind: 'event',
    eventId: '0193f0c4-0000-7000-8000-000000000001',
    organizationId: '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0001',
    eventType: 'job.completed',
    eventVersion: 2,
    topic: 'cataloging',
    entityType: 'cataloging_job',
    entityId: '17',
    target: null,
    idempotencyKey: null,
    payload: '{"n": 1}',
    headers: '{"traceparent": "00-1"}',
    createdAt: '2026-11-20T14:00:00.123456Z',
    expiresAt: null,
    origin: begin?.kind === 'begin' && begin.origin,
    ordinal: 0,
    size: insert.length,
    parkedId: null,
  });
  expect(event.origin).toBe(begin?.kind === 'begin' && begin.origin);
  const commit = { commitLsn: 0x1_0000_0001n, endLsn: 0x1_0000_0031n };
  expect(decoder.decode(commitBytes(commit))).toEqual({ kind: 'commit', ...commit });
});

test('ordinals count events and poisons, and begin anew with each transaction', () => {
  const decoder = midway();
  const ordinals = [{}, { event_id: null }, {}].map((fields) => {
    const step = decoder.decode(insertBytes(outboxCells(fields)));
    return step?.kind === 'event' || step?.kind === 'poison' ? `${step.kind} ${step.ordinal}` : undefined;
  });
  expect(ordinals).toEqual(['event 0', 'poison 1', 'event 2']);
  decoder.decode(commitBytes());
  decoder.decode(beginBytes({ commitLsn: 0x16b3778n }));
  expect(decoder.decode(insertBytes(outboxCells()))).toMatchObject({ kind: 'event', ordinal: 0 });
});

test('nothing of a message is used once it has been decoded', () => {
  const decoder = outboxDecoder();
  const decode = (message: Buffer) => {
    const step = decoder.decode(message);
    message.fill(0xff);
    return step;
  };
  for (const message of [beginBytes(), relationBytes({ columns: OUTBOX_COLUMNS })]) decode(message);
  const first = decode(insertBytes(outboxCells({ topic: 'größe', payload: '{"a": "é"}' }))) as Event;
  decode(insertBytes(outboxCells({ topic: 'x', payload: '{}' })));
  expect(first).toMatchObject({ topic: 'größe', entityId: '17', eventType: 'job.completed' });
  expect(wireToText(first.payload)).toBe('{"a": "é"}');
});

describe('columns', () => {
  test('are found by name, wherever they stand, until the relation is described anew', () => {
    const decoder = outboxDecoder();
    const columns = OUTBOX_COLUMNS.toReversed();
    const event = decodeRow(outboxCells().toReversed(), { columns, decoder }) as Event;
    expect(event).toMatchObject({ kind: 'event', topic: 'cataloging', entityId: '17' });
    decoder.decode(relationBytes({ columns: [['extra', OID.text], ...OUTBOX_COLUMNS] }));
    expect(decoder.decode(insertBytes(['?', ...outboxCells({ topic: 'next' })]))).toMatchObject({ topic: 'next' });
  });

  test('that are null or not there give defaults', () => {
    const none = {
      event_version: null,
      topic: null,
      entity_type: null,
      entity_id: null,
      headers: null,
      created_at: null,
    };
    const defaults = {
      eventVersion: 1,
      topic: 'default',
      entityType: null,
      entityId: null,
      headers: '{}',
      createdAt: null,
      expiresAt: null,
    };
    expect(decodeRow(outboxCells(none))).toMatchObject(defaults);
    const required = new Set(['event_id', 'organization_id', 'event_type', 'payload']);
    const keep = OUTBOX_COLUMNS.map(([name]) => required.has(name));
    const columns = OUTBOX_COLUMNS.filter((_, index) => keep[index]);
    const cells = outboxCells().filter((_, index) => keep[index]);
    expect(decodeRow(cells, { columns })).toMatchObject({ kind: 'event', ...defaults });
  });

  test('of type text, bytea or int8 as the payload become one JSON string', () => {
    const as = (oid: number, payload: string): string => {
      const columns = OUTBOX_COLUMNS.map(([name, type]) => [name, name === 'payload' ? oid : type] as const);
      const step = decodeRow(outboxCells({ payload }), { columns });
      return step.kind === 'event' ? wireToText(step.payload) : step.reason;
    };
    expect(as(OID.text, '{"a": "é\n"}')).toBe(String.raw`"{\"a\": \"é\n\"}"`);
    expect(as(OID.bytea, String.raw`\x7b7d`)).toBe(String.raw`"\\x7b7d"`);
    expect(as(OID.int8, '9223372036854775807')).toBe('"9223372036854775807"');
    expect(as(OID.json, '{"a":\n 1.0 }')).toBe('{"a":  1.0 }');
    expect(as(50_000, '{}')).toMatch(/^payload has a type that the plugin does not describe/);
  });

  test('of a domain over jsonb are jsonb, as its Type message says', () => {
    const columns = OUTBOX_COLUMNS.map(([name, type]) => [name, name === 'payload' ? 50_000 : type] as const);
    const event = decodeRow(outboxCells(), { columns, before: [typeBytes(50_000, '', 'jsonb')] }) as Event;
    expect(wireToText(event.payload)).toBe('{"n": 1}');
    const own = decodeRow(outboxCells(), { columns, before: [typeBytes(50_000, 'public', 'jsonb')] }) as Event;
    expect(wireToText(own.payload)).toBe(String.raw`"{\"n\": 1}"`);
  });
});

test('what is no insert of the outbox is ignored and reported', () => {
  const ignored: string[] = [];
  const decoder = midway((kind, table) => ignored.push(`${kind} ${table}`));
  const messages = [
    updateBytes(outboxCells(), { old: outboxCells(), mark: 'O' }),
    updateBytes(outboxCells(), { old: outboxCells() }),
    updateBytes(outboxCells()),
    deleteBytes(outboxCells()),
    truncateBytes([16_400, 99]),
    insertBytes(['1'], 99),
    originBytes(),
    messageBytes('walpost', 'hello'),
    typeBytes(50_000, 'public', 'mood'),
  ];
  for (const message of messages) expect(decoder.decode(message)).toBeUndefined();
  expect(ignored).toEqual([
    'update walpost.outbox',
    'update walpost.outbox',
    'update walpost.outbox',
    'delete walpost.outbox',
    'truncate walpost.outbox, public.users',
    'insert public.users',
  ]);
  expect(decoder.decode(insertBytes(outboxCells()))).toMatchObject({ ordinal: 0 });
});

test('a logical message outside a transaction is no error', () => {
  expect(outboxDecoder().decode(messageBytes('x', ''))).toBeUndefined();
});

const unknown = {
  insert: insertBytes(['1'], 7),
  update: updateBytes(['1'], { id: 7 }),
  delete: deleteBytes(['1'], { id: 7 }),
  truncate: truncateBytes([7]),
};

test.each(Object.entries(unknown))('an %s of a relation that was never described is fatal', (_, message) => {
  expect(() => midway().decode(message)).toThrow(
    expect.objectContaining({ code: 'UNKNOWN_RELATION', policy: 'fatal' }),
  );
});

const complete: Record<string, Buffer> = {
  Commit: commitBytes(),
  Relation: relation,
  Type: typeBytes(50_000, 'public', 'mood'),
  Origin: originBytes(),
  Insert: insertBytes(outboxCells({ entity_id: null })),
  'Insert elsewhere': insertBytes(['1'], 99),
  Update: updateBytes(outboxCells(), { old: outboxCells() }),
  Delete: deleteBytes(outboxCells()),
  Truncate: truncateBytes([16_400, 99]),
  Message: messageBytes('walpost', 'hello'),
};

describe('a message that is cut at any byte, or has one too many, breaks the protocol', () => {
  const broken = expect.objectContaining({ code: 'PROTOCOL' });

  test('Begin', () => {
    const begin = beginBytes();
    expect(outboxDecoder().decode(begin)).toMatchObject({ kind: 'begin' });
    for (let end = 0; end < begin.length; end++) {
      expect(() => outboxDecoder().decode(begin.subarray(0, end))).toThrow(broken);
    }
    expect(() => outboxDecoder().decode(Buffer.concat([begin, Buffer.of(0)]))).toThrow(broken);
  });

  test.each(Object.entries(complete))('%s', (_, message) => {
    expect(() => midway().decode(message)).not.toThrow();
    for (let end = 0; end < message.length; end++) {
      // What follows the cut in memory is the rest of the message: reading past the end would succeed.
      expect(() => midway().decode(message.subarray(0, end)), `cut at ${end}`).toThrow(broken);
    }
    expect(() => midway().decode(Buffer.concat([message, Buffer.of(0)]))).toThrow(broken);
  });

  test('and a large row too', () => {
    const message = insertBytes(outboxCells({ entity_id: null }));
    for (let end = 0; end <= message.length; end++) {
      const decoder = outboxDecoder({ maxRowBytes: 1 });
      for (const before of [beginBytes(), relation]) decoder.decode(before);
      if (end === message.length) expect(decoder.decode(message)).toMatchObject({ kind: 'poison' });
      else expect(() => decoder.decode(message.subarray(0, end)), `cut at ${end}`).toThrow(broken);
    }
  });

  test('whatever the bytes are, the answer is a step, nothing, or a fatal error', () => {
    const types = [...'BCDIMORTUY'].map((type) => type.charCodeAt(0));
    const bytes = fc.tuple(fc.constantFrom(...types), fc.uint8Array({ maxLength: 60 }));
    fc.assert(
      fc.property(bytes, ([type, rest]) => {
        try {
          midway().decode(Buffer.from([type, ...rest]));
        } catch (error) {
          expect(error).toMatchObject({ policy: 'fatal' });
        }
      }),
    );
  });
});

const insertWithLength = (length: number): Buffer => {
  const message = insertBytes(outboxCells());
  message.writeUInt32BE(length, 9);
  return message;
};

test.each<[string, Buffer]>([
  ['an unknown type', Buffer.from('Z')],
  ['a streamed transaction', Buffer.from('S\0\0\0\0\0')],
  ['a Begin in a transaction', beginBytes()],
  ['a Commit of another transaction', commitBytes({ commitLsn: 5n })],
  ['a Commit that ends before it begins', commitBytes({ endLsn: 5n })],
  ['a Commit with flags', commitBytes({ flags: 1 })],
  ['another count of columns', insertBytes(outboxCells().slice(1))],
  ['a column of negative length', insertWithLength(0xffffffff)],
  ['a column longer than the message', insertWithLength(10_000)],
  [
    'a column in binary',
    Buffer.from(
      insertBytes([...outboxCells().slice(1), null])
        .toString('latin1')
        .replace(/n$/, 'b'),
      'latin1',
    ),
  ],
])('%s breaks the protocol', (_, message) => {
  expect(() => midway().decode(message)).toThrow(expect.objectContaining({ code: 'PROTOCOL' }));
});

test.each<[string, Buffer]>([
  ['a Commit', commitBytes()],
  ['an insert', insertBytes(outboxCells())],
  ['an insert elsewhere', insertBytes(['1'], 99)],
  ['a delete', deleteBytes(outboxCells())],
])('%s outside a transaction breaks the protocol', (_, message) => {
  const decoder = outboxDecoder();
  for (const before of [relation, other]) decoder.decode(before);
  expect(() => decoder.decode(message)).toThrow(expect.objectContaining({ code: 'PROTOCOL' }));
});

test('a commit time beyond what a timestamp can say breaks the protocol', () => {
  for (const micros of [2n ** 63n - 1n, -(2n ** 63n)]) {
    expect(() => outboxDecoder().decode(beginBytes({ micros }))).toThrow(/years 1 to 9999/);
  }
});

test('whatever text the columns hold comes out', () => {
  const text = fc.string({ unit: 'grapheme', minLength: 1 });
  const wellFormed = text.map((value) => value.toWellFormed().replaceAll('\0', '?'));
  const rows = fc.record({
    event_id: wellFormed,
    organization_id: wellFormed,
    event_type: wellFormed,
    topic: wellFormed,
    entity_id: fc.option(wellFormed),
    target: fc.option(wellFormed),
    payload: fc.json(),
    version: fc.integer(),
  });
  const columns = EVENT_FIELDS.map(
    (field) =>
      [field, OUTBOX_COLUMNS.find(([name, oid]) => name === field && oid === OID.jsonb)?.[1] ?? OID.text] as const,
  );
  fc.assert(
    fc.property(rows, ({ version, ...row }) => {
      const event = decodeRow(outboxCells({ ...row, event_version: String(version) }), { columns });
      if (event.kind !== 'event') throw new Error(event.reason);
      expect(event).toMatchObject({
        eventId: row.event_id,
        organizationId: row.organization_id,
        eventType: row.event_type,
        topic: row.topic,
        entityId: row.entity_id,
        target: row.target,
        eventVersion: version,
      });
      expect(wireBytes(event.payload).equals(Buffer.from(row.payload))).toBe(true);
    }),
  );
});
