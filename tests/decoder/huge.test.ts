/**
 * Messages that are longer than a string can be. Any role may write one, and a process that ends at it ends at every start.
 */
import { constants } from 'node:buffer';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { columnMapping } from '../../src/postgres/source/column-mapping.ts';
import { createWal2jsonDecoder } from '../../src/decoder/wal2json.ts';
import type { Decoder, Step } from '../../src/pipeline.ts';
import { OUTBOX_COLUMNS, outboxCells, outboxDecoder } from '../support/outbox-stream.ts';
import { beginBytes, insertBytes, messageBytes, relationBytes } from '../support/pgoutput-bytes.ts';
import { beginPlain } from '../support/plain-origin.ts';

const ID = '0193f0c4-0000-7000-8000-000000000001';
const SIZE = constants.MAX_STRING_LENGTH + 1_000_000;
const MARK = '#'.repeat(8);

let memory: Buffer | undefined;
beforeAll(() => void (memory = Buffer.alloc(SIZE + 10_000, 'x')));
afterAll(() => void (memory = undefined));

/** The message with SIZE times `x` in the place of the mark, and that number in the place of its length. */
function huge(template: Buffer): Buffer {
  const bytes = memory ?? Buffer.alloc(0);
  const at = template.indexOf(MARK);
  const before = Buffer.from(template.subarray(0, at));
  if (before.length >= 4 && before.readUInt32BE(at - 4) === MARK.length) before.writeUInt32BE(SIZE, at - 4);
  bytes.fill('x');
  before.copy(bytes);
  const { length } = template.subarray(at + MARK.length);
  template.copy(bytes, at + SIZE, at + MARK.length);
  return bytes.subarray(0, at + SIZE + length);
}

function refusing(): {
  messages: { keyOf: () => 'unknown_key'; onRefused: (reason: string) => number };
  refused: string[];
} {
  const refused: string[] = [];
  return { messages: { keyOf: () => 'unknown_key', onRefused: (reason) => refused.push(reason) }, refused };
}

describe.each(['pgoutput', 'wal2json'] as const)('%s', (plugin) => {
  const json = (action: string, more: object): Buffer =>
    Buffer.from(JSON.stringify({ action, lsn: '0/16B3700', ...more }));
  const begun = (options: object = {}): Decoder => {
    const mapping = columnMapping({ preset: 'walpost', columns: {} });
    const decoder =
      plugin === 'pgoutput'
        ? outboxDecoder(options)
        : createWal2jsonDecoder({ mapping, table: 'walpost.outbox', beginTransaction: beginPlain, ...options });
    const begin = json('B', { xid: 777, timestamp: '2026-11-20 14:00:00.13+00', lsn: '0/16B3748' });
    const first = plugin === 'pgoutput' ? [beginBytes(), relationBytes({ columns: OUTBOX_COLUMNS })] : [begin];
    for (const bytes of first) decoder.decode(bytes);
    return decoder;
  };
  const row = (payload: string): Buffer => {
    const cells = outboxCells({ payload });
    if (plugin === 'pgoutput') return insertBytes(cells);
    const columns = OUTBOX_COLUMNS.map(([name, typeoid], n) => ({ name, typeoid, value: cells[n] }));
    return json('I', { schema: 'walpost', table: 'outbox', columns });
  };
  const message = (prefix: string, content: string): Buffer =>
    plugin === 'pgoutput' ? messageBytes(prefix, content) : json('M', { transactional: true, prefix, content });

  test('a row becomes a poison that can be told apart, and the next one an event', () => {
    const decoder = begun();
    const others = outboxCells({ payload: '' }).reduce((sum, cell) => sum + String(cell ?? '').length, 0);
    const poison = decoder.decode(huge(row(MARK))) as Step & { row: string };
    const reason = `the row has ${others + SIZE} bytes, more than 16777216`;
    expect(poison).toMatchObject({ kind: 'poison', reason, eventId: ID, ordinal: 0 });
    expect(poison.row).toMatch(/"payload":"x{30000,}…"/);
    expect(decoder.decode(row('{}'))).toMatchObject({ kind: 'event', ordinal: 1 });
  });

  test('a message is refused and counted', () => {
    const { messages, refused } = refusing();
    const decoder = begun({ messages });
    expect(decoder.decode(huge(message('walpost', MARK)))).toBeUndefined();
    expect(refused).toEqual(['unsigned']);
    expect(decoder.decode(row('{}'))).toMatchObject({ kind: 'event', ordinal: 1 });
  });

  test('a message is left out where messages are not wanted', () => {
    const decoder = begun();
    expect(decoder.decode(huge(message('walpost', MARK)))).toBeUndefined();
    expect(decoder.decode(row('{}'))).toMatchObject({ kind: 'event', ordinal: 0 });
  });

  test('so is one whose prefix is that long', () => {
    const { messages, refused } = refusing();
    const decoder = begun({ messages });
    expect(decoder.decode(huge(message(MARK, 'x')))).toBeUndefined();
    expect(refused).toEqual([]);
    expect(decoder.decode(row('{}'))).toMatchObject({ kind: 'event', ordinal: 0 });
  });
});
