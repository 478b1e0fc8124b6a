import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Piece, piecesOf, plain, valueBytes } from '../../src/decoder/long-message.ts';
import { columnsOf, parseMessage } from '../../src/decoder/wal2json-message.ts';

const value = fc.oneof(
  fc.string({ unit: fc.constantFrom('"', '\\', '\n', '\u0001', 'é', '😀', 'u', '0', ' ', ',') }),
  fc.integer(),
  fc.boolean(),
  fc.constant(null),
);
const columns = fc.array(fc.record({ name: fc.string(), typeoid: fc.constantFrom(17, 25, -7), value }));
const message = fc.record({ action: fc.constantFrom('I', 'M'), columns, content: fc.string() });

describe('a long message', () => {
  test('says what JSON.parse says', () => {
    fc.assert(
      fc.property(message, fc.constantFrom(0, 1), (content, indent) => {
        const bytes = Buffer.from(JSON.stringify(content, null, indent).replaceAll('\n', ''));
        expect(plain(piecesOf(bytes), Infinity)).toEqual(parseMessage(bytes));
      }),
    );
  });

  test('has as many bytes as Postgres has printed', () => {
    fc.assert(
      fc.property(message, (content) => {
        const bytes = Buffer.from(JSON.stringify(content));
        const printed = columnsOf(parseMessage(bytes)).map(({ value }) => value?.length ?? 0);
        expect(valueBytes(piecesOf(bytes))).toBe(printed.reduce((sum, length) => sum + length, 0));
      }),
    );
  });

  test('is cut to the beginnings of its strings, never inside an escape', () => {
    fc.assert(
      fc.property(message, fc.nat(12), ({ content }, most) => {
        const bytes = Buffer.from(JSON.stringify({ action: 'M', content }));
        const { content: piece } = piecesOf(bytes);
        const whole = Buffer.from(content).toString('latin1');
        const kept = piece instanceof Piece ? piece.text(most) : 'no piece';
        expect(whole.startsWith(kept)).toBe(true);
        expect(kept.length).toBeLessThanOrEqual(Math.max(most, 0));
      }),
    );
  });

  test('that is cut at any byte breaks the protocol', () => {
    const bytes = Buffer.from(String.raw`{"action":"I","columns":[{"name":"a","typeoid":25,"value":"b\"\u0001"}]}`);
    for (let end = 0; end < bytes.length; end++) {
      expect(() => piecesOf(bytes.subarray(0, end))).toThrow(expect.objectContaining({ code: 'PROTOCOL' }));
    }
  });
});
