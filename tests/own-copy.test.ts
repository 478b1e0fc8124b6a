import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import { expect, test } from 'vitest';
import { ownCopy } from '../src/own-copy.ts';

const ROW_BYTES = 100_000;
const ROWS = 300;

setFlagsFromString('--expose_gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Bytes of heap that a name out of each of many rows keeps. */
function heldBy(name: (field: string) => string): number {
  collectGarbage();
  const before = process.memoryUsage().heapUsed;
  const names = Array.from({ length: ROWS }, (_, n) => {
    const row = Buffer.alloc(ROW_BYTES, `row ${n} of an organization `).toString('latin1');
    return name(row.slice(10, 46));
  });
  collectGarbage();
  const held = process.memoryUsage().heapUsed - before;
  expect(names).toHaveLength(ROWS);
  return held;
}

test('a copy of a field does not keep its row, as the field itself does', () => {
  expect(heldBy((field) => field)).toBeGreaterThan((ROWS * ROW_BYTES) / 2);
  expect(heldBy(ownCopy)).toBeLessThan((ROWS * ROW_BYTES) / 10);
});

test.each(['', 'a', 'organization', '3f1c7c9e-8a44-4f0e-9d4b-0a6f3f9f0001', 'größer als ein Byte: 日本語 🙂'])(
  'the copy of %j is the same text',
  (text) => {
    expect(ownCopy(text)).toBe(text);
  },
);
