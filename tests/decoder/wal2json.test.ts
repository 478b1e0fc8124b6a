import { describe, expect, test } from 'vitest';
import { columnMapping } from '../../src/postgres/source/column-mapping.ts';
import { createWal2jsonDecoder } from '../../src/decoder/wal2json.ts';
import type { Event } from '../../src/event.ts';
import { wireBytes, wireToText } from '../../src/wire-text.ts';
import { OUTBOX_COLUMNS, outboxCells, outboxDecoder } from '../support/outbox-stream.ts';
import { beginBytes, insertBytes, relationBytes } from '../support/pgoutput-bytes.ts';
import { beginPlain } from '../support/plain-origin.ts';

const BEGIN =
  '{"action":"B","xid":777,"timestamp":"2026-11-20 14:00:00.13+00","lsn":"0/16B3748","nextlsn":"0/16B3778"}';
const COMMIT = BEGIN.replace('"B"', '"C"');

const column = (name: string, typeoid: number, value: string): string =>
  `{"name":"${name}","typeoid":${typeoid},"value":${value}}`;

const COLUMNS = [
  column('event_id', 20, '9223372036854775807'),
  column('organization_id', 25, '"größe"'),
  column('event_type', 25, '"a\\n\\"b\\""'),
  column('payload', 3802, JSON.stringify('{"é": 0.10, "s": "\\u2028\u2028"}')),
];

const insert = (columns: readonly string[] = COLUMNS, table = 'outbox'): string =>
  `{"action":"I","xid":777,"timestamp":"2026-11-20 14:00:00.13+00","lsn":"0/16B3700","schema":"walpost","table":"${table}","columns":[${columns.join(',')}]}`;

function decoderAfter(
  before: readonly string[] = [],
  options: { maxRowBytes?: number; onIgnored?: (kind: string, table: string) => void } = {},
) {
  const mapping = columnMapping({ preset: 'walpost', columns: {} });
  const decoder = createWal2jsonDecoder({ mapping, table: 'walpost.outbox', beginTransaction: beginPlain, ...options });
  const decode = (text: string) => decoder.decode(Buffer.from(text));
  before.forEach(decode);
  return decode;
}

test('a transaction becomes begin, events and commit', () => {
  const decode = decoderAfter();
  const origin = { commitLsn: 0x16b3748n, xid: 777, committedAtMicros: 848_498_400_130_000n };
  expect(decode(BEGIN)).toMatchObject({ kind: 'begin', origin });
  const event = decode(insert()) as Event;
  expect(event).toMatchObject({
    kind: 'event',
    eventId: '9223372036854775807',
    organizationId: 'größe',
    eventType: 'a\n"b"',
    ordinal: 0,
    createdAt: null,
    expiresAt: null,
  });
  expect(wireBytes(event.payload)).toEqual(Buffer.from('{"é": 0.10, "s": "\\u2028\u2028"}'));
  expect(decode(COMMIT)).toEqual({ kind: 'commit', commitLsn: 0x16b3748n, endLsn: 0x16b3778n });
});

test('values come out as Postgres prints them', () => {
  const more = [column('target', 16, 'true'), column('entity_id', 17, '"dead"'), column('topic', 1700, '-0.10')];
  expect(decoderAfter([BEGIN])(insert([...COLUMNS, ...more]))).toMatchObject({
    target: 't',
    entityId: String.raw`\xdead`,
    topic: '-0.10',
  });
});

test('an event is as large as with pgoutput: batches close, and memory is counted, by the same sizes', () => {
  const cells = outboxCells({ payload: JSON.stringify({ quoted: '"'.repeat(400), text: 'größe' }), topic: null });
  const pgoutput = outboxDecoder();
  pgoutput.decode(relationBytes({ columns: OUTBOX_COLUMNS }));
  pgoutput.decode(beginBytes());
  const columns = OUTBOX_COLUMNS.map(([name, oid], n) =>
    column(name, oid, typeof cells[n] === 'string' ? JSON.stringify(cells[n]) : 'null'),
  );
  const [one, other] = [pgoutput.decode(insertBytes(cells)), decoderAfter([BEGIN])(insert(columns))] as Event[];
  expect(other?.payload).toEqual(one?.payload);
  expect(other?.size).toBe(one?.size);
});

test('the columns may change from row to row', () => {
  const decode = decoderAfter([BEGIN]);
  decode(insert());
  const moved = decode(insert([column('topic', 25, '"moved"'), ...COLUMNS])) as Event;
  expect(moved).toMatchObject({ topic: 'moved', ordinal: 1 });
  const text = decode(insert(COLUMNS.map((text) => text.replace('3802', '25')))) as Event;
  expect(wireToText(text.payload)).toMatch(/^"\{/);
});

describe('a poison', () => {
  test('of a row with a fault, a type of the user as the payload, or a length over the limit', () => {
    const decode = decoderAfter([BEGIN], { maxRowBytes: 1_000 });
    const without = COLUMNS.map((text) => text.replace('"größe"', 'null'));
    expect(decode(insert(without))).toMatchObject({ kind: 'poison', reason: 'organization_id is null', ordinal: 0 });
    const opaque = COLUMNS.map((text) => text.replace('3802', '50000'));
    expect(decode(insert(opaque))).toMatchObject({ reason: 'payload has a type that the plugin does not describe' });
    const long = COLUMNS.map((text) => text.replace('größe', 'x'.repeat(2_000)));
    expect(decode(insert(long))).toMatchObject({ reason: /than 1000$/, eventId: '9223372036854775807', ordinal: 2 });
  });

  test('not of a row that is longer only as JSON', () => {
    const payload = JSON.stringify({ a: '"'.repeat(400) });
    const others = COLUMNS.filter((text) => !text.includes('payload'));
    const row = insert([...others, column('payload', 3802, JSON.stringify(payload))]);
    expect([payload.length < 900, row.length > 1_500]).toEqual([true, true]);
    const event = decoderAfter([BEGIN], { maxRowBytes: 1_000 })(row);
    expect(event).toEqual(decoderAfter([BEGIN])(row));
    expect(decoderAfter([BEGIN], { maxRowBytes: 500 })(row)).toMatchObject({ kind: 'poison', reason: /than 500$/ });
  });

  test('of a text that is not UTF-8', () => {
    const decoder = createWal2jsonDecoder({
      mapping: columnMapping({ preset: 'walpost', columns: {} }),
      table: 'walpost.outbox',
      beginTransaction: beginPlain,
    });
    decoder.decode(Buffer.from(BEGIN));
    const latin1 = Buffer.from(insert(), 'latin1');
    expect(decoder.decode(latin1)).toMatchObject({ reason: 'organization_id is not valid UTF-8' });
  });
});

test('what is no insert of the outbox is ignored and reported', () => {
  const ignored: string[] = [];
  const decode = decoderAfter([BEGIN], { onIgnored: (kind, table) => ignored.push(`${kind} ${table}`) });
  const other = (action: string) => `{"action":"${action}","schema":"walpost","table":"outbox"}`;
  const elsewhere = insert(COLUMNS, 'größe').replace('"walpost"', '"public"');
  for (const text of [other('U'), other('D'), other('T'), elsewhere, '{"action":"M"}']) {
    expect(decode(text)).toBeUndefined();
  }
  expect(ignored).toEqual(
    ['update', 'delete', 'truncate'].map((kind) => `${kind} walpost.outbox`).concat('insert public.größe'),
  );
});

test('a message that is cut at any byte breaks the protocol, and the error does not quote it', () => {
  for (const [before, text] of [
    [[], BEGIN],
    [[BEGIN], insert()],
    [[BEGIN], COMMIT],
  ] as const) {
    const bytes = Buffer.from(text);
    for (let end = 0; end < bytes.length; end++) {
      const decode = decoderAfter(before);
      const cut = bytes.subarray(0, end).toString();
      expect(() => decode(cut)).toThrow(
        expect.objectContaining({
          code: 'PROTOCOL',
          message: expect.not.stringContaining('größe') as string,
          cause: undefined,
        }),
      );
    }
  }
});

test.each([
  ['no object', '[]'],
  ['no action', '{}'],
  ['an unknown action', '{"action":"X"}'],
  ['no LSN', BEGIN.replace('0/16B3748', 'x')],
  ['no time', BEGIN.replace('2026-11-20 ', '')],
  ['no xid', BEGIN.replace('777', '"x"')],
  ['no lsn at all', BEGIN.replace('"lsn"', '"lsm"')],
  ['a column without type', insert([...COLUMNS, '{"name":"x","value":1}'])],
])('%s breaks the protocol', (_, text) => {
  const decode = text.includes('"I"') ? decoderAfter([BEGIN]) : decoderAfter();
  expect(() => decode(text)).toThrow(expect.objectContaining({ code: 'PROTOCOL' }));
});

test('begin, insert and commit must come in order', () => {
  expect(() => decoderAfter()(insert())).toThrow(/outside a transaction/);
  expect(() => decoderAfter()(COMMIT)).toThrow(/outside a transaction/);
  expect(() => decoderAfter([BEGIN])(BEGIN)).toThrow(/inside another/);
});
