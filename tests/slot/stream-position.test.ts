import fc from 'fast-check';
import { expect, test } from 'vitest';
import { StreamPosition } from '../../src/slot/stream-position.ts';

const lsns = fc.oneof(
  fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
  fc.bigInt({ min: 0xffff_fff0n, max: 0x1_0000_0010n }),
);

function frameAt(lsn: bigint): Buffer {
  const frame = Buffer.alloc(9);
  frame.writeBigUInt64BE(lsn, 1);
  return frame;
}

test('received is the furthest of all positions, across the 4 GiB boundaries', () => {
  fc.assert(
    fc.property(fc.array(lsns, { minLength: 1 }), (seen) => {
      const position = new StreamPosition();
      for (const lsn of seen) position.advance(frameAt(lsn), 1);
      expect(position.received).toBe(seen.reduce((a, b) => (a > b ? a : b)));
    }),
  );
});

test('whatever is confirmed in whatever order, confirmed only grows and stays within received', () => {
  fc.assert(
    fc.property(fc.array(fc.tuple(fc.boolean(), lsns)), (steps) => {
      const position = new StreamPosition();
      for (const [isFrame, lsn] of steps) {
        const before = position.confirmed;
        if (isFrame) {
          position.advance(frameAt(lsn), 1);
        } else if (lsn >= before && lsn <= position.received) {
          expect(position.confirm(lsn)).toBe(lsn !== before);
          expect(position.confirmed).toBe(lsn);
        } else {
          expect(() => position.confirm(lsn)).toThrow(RangeError);
          expect(position.confirmed).toBe(before);
        }
      }
    }),
  );
});
