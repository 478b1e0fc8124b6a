import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import type { EventField } from '../../src/postgres/source/column-mapping.ts';
import { columnMapping } from '../../src/postgres/source/column-mapping.ts';
import { createPgoutputDecoder } from '../../src/decoder/pgoutput.ts';
import { cut } from '../../src/decoder/row-text.ts';
import type { Poison } from '../../src/event.ts';
import { decodeRow, OUTBOX_COLUMNS, outboxCells, outboxDecoder } from '../support/outbox-stream.ts';
import { type Cell, OID, UNSENT_CELL } from '../support/pgoutput-bytes.ts';
import { beginPlain } from '../support/plain-origin.ts';

const BROKEN = Buffer.from([0x61, 0xff, 0x62]);

test.each<[EventField, Cell, string]>([
  ['event_id', null, 'event_id is null'],
  ['event_id', '', 'event_id is empty'],
  ['organization_id', null, 'organization_id is null'],
  ['event_type', null, 'event_type is null'],
  ['event_type', '', 'event_type is empty'],
  ['payload', null, 'payload is null'],
  ['payload', UNSENT_CELL, 'payload was not sent by the server'],
  ['headers', UNSENT_CELL, 'headers was not sent by the server'],
  ['topic', UNSENT_CELL, 'topic was not sent by the server'],
  ['event_type', BROKEN, 'event_type is not valid UTF-8'],
  ['target', BROKEN, 'target is not valid UTF-8'],
  [
    'payload',
    Buffer.concat([Buffer.from('"'), Buffer.alloc(100, 0x80), Buffer.from('"')]),
    'payload is not valid UTF-8',
  ],
  ['headers', '[]', 'headers is not a JSON object'],
  ['headers', 'null', 'headers is not a JSON object'],
  ['created_at', 'infinity', 'created_at is not a time that RFC 3339 can say'],
  ['created_at', '0044-03-15 12:00:00+00 BC', 'created_at is not a time that RFC 3339 can say'],
  ['created_at', UNSENT_CELL, 'created_at was not sent by the server'],
  ['expires_at', '-infinity', 'expires_at is not a time that RFC 3339 can say'],
  ['event_version', '1.5', 'event_version is not an integer'],
  ['event_version', '', 'event_version is not an integer'],
  ['event_version', '99999999999999999', 'event_version is not an integer'],
  ['event_version', '2147483648', 'event_version is not an integer of 32 bits'],
  ['event_id', 'x'.repeat(1025), 'event_id is longer than 1024 bytes'],
  ['organization_id', 'ä'.repeat(513), 'organization_id is longer than 1024 bytes'],
])('%s = %s', (field, cell, reason) => {
  expect(decodeRow(outboxCells({ [field]: cell }))).toMatchObject({ kind: 'poison', reason, ordinal: 0 });
});

test('an infinite expires_at says never', () => {
  expect(decodeRow(outboxCells({ expires_at: 'infinity' }))).toMatchObject({ kind: 'event', expiresAt: null });
});

test('the first fault is the reason, and what can be read is kept', () => {
  const poison = decodeRow(
    outboxCells({ event_id: 'e\u0301', payload: null, headers: '1', topic: UNSENT_CELL }),
  ) as Poison;
  expect(poison.reason).toBe('topic was not sent by the server');
  expect(poison).toMatchObject({
    eventId: 'e\u0301',
    organizationId: '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0001',
    eventType: 'job.completed',
  });
  const row = JSON.parse(poison.row) as Record<string, unknown>;
  expect(row).toMatchObject({ event_id: 'e\u0301', payload: null, headers: '1', entity_id: '17' });
  expect(Object.keys(row)).not.toContain('topic');
});

test('a required column that has left the table poisons each row, and names the column', () => {
  const decoder = createPgoutputDecoder({
    mapping: columnMapping({ preset: 'walpost', columns: { payload: 'body' } }),
    table: 'walpost.outbox',
    beginTransaction: beginPlain,
  });
  expect(decodeRow(outboxCells(), { decoder })).toMatchObject({
    reason: 'payload (column "body") has no column in the table any more',
  });
});

test('headers in a text column are not trusted', () => {
  const columns = OUTBOX_COLUMNS.map(([name, oid]) => [name, name === 'headers' ? OID.text : oid] as const);
  expect(decodeRow(outboxCells(), { columns })).toMatchObject({ reason: 'headers is neither json nor jsonb' });
});

test('headers in a json column may begin with a space', () => {
  const columns = OUTBOX_COLUMNS.map(([name, oid]) => [name, name === 'headers' ? OID.json : oid] as const);
  expect(decodeRow(outboxCells({ headers: ' {\r\n}' }), { columns })).toMatchObject({ headers: ' {  }' });
});

describe('a row over the limit', () => {
  const limited = () => outboxDecoder({ maxRowBytes: 1_000 });

  test('is a poison of bounded size that can still be told apart', () => {
    const poison = decodeRow(outboxCells({ payload: `"${'é'.repeat(300_000)}"`, topic: null }), { decoder: limited() });
    expect(poison).toMatchObject({ kind: 'poison', eventId: '0193f0c4-0000-7000-8000-000000000001' });
    if (poison.kind !== 'poison') return;
    expect(poison.reason).toMatch(/^the row has 600\d\d\d bytes, more than 1000$/);
    expect(poison.row.length).toBeLessThan(40_000);
    const row = JSON.parse(poison.row) as Record<string, string>;
    expect(row['payload']).toMatch(/^"é+…$/);
    expect(row['topic']).toBeNull();
    expect(row['created_at']).toBe('…');
  });

  test('begins past the limit, which the values of all columns make together', () => {
    const length = outboxCells().reduce((sum, cell) => sum + String(cell ?? '').length, 0);
    const kindWith = (maxRowBytes: number) =>
      decodeRow(outboxCells(), { decoder: outboxDecoder({ maxRowBytes }) }).kind;
    expect([kindWith(length), kindWith(length - 1)]).toEqual(['event', 'poison']);
  });
});

test('a cut never leaves half a character', () => {
  fc.assert(
    fc.property(fc.string({ unit: 'binary' }), fc.nat(30), (text, limit) => {
      const wellFormed = text.toWellFormed();
      const kept = cut(Buffer.from(wellFormed).toString('latin1'), limit);
      expect(kept.endsWith('…') ? wellFormed.startsWith(kept.slice(0, -1)) : kept === wellFormed).toBe(true);
      expect(Buffer.byteLength(kept)).toBeLessThanOrEqual(limit + 3);
    }),
  );
});
