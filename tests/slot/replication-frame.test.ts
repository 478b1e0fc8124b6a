import { describe, expect, test } from 'vitest';
import {
  KEEPALIVE,
  WAL_DATA,
  frameKind,
  keepaliveAsksReply,
  keepaliveEnd,
  walDataPayload,
} from '../../src/slot/replication-frame.ts';

const data = Buffer.from('77' + '0000000100000002' + '0000000100000002' + '0000000000000005' + 'c0ffee', 'hex');
const keepalive = Buffer.from('6b' + 'ffffffff00000001' + '0000000000000005' + '01', 'hex');

test('a data frame: the payload is a view', () => {
  expect(frameKind(data)).toBe(WAL_DATA);
  const payload = walDataPayload(data);
  expect(payload.toString('hex')).toBe('c0ffee');
  expect(payload.buffer).toBe(data.buffer);
  expect(walDataPayload(data.subarray(0, 25)).length).toBe(0);
});

test('a keepalive: position and whether it asks', () => {
  expect(frameKind(keepalive)).toBe(KEEPALIVE);
  expect(keepaliveEnd(keepalive)).toBe(0xffff_ffff_0000_0001n);
  expect(keepaliveAsksReply(keepalive)).toBe(true);
  keepalive[17] = 0;
  expect(keepaliveAsksReply(keepalive)).toBe(false);
});

describe('a frame that is cut anywhere in its header, or of another kind, is a protocol error', () => {
  const cuts = [data.subarray(0, 25), keepalive].flatMap((frame) =>
    [...frame.keys()].map((length) => frame.subarray(0, length)),
  );
  test.each([...cuts, Buffer.from('78', 'hex'), Buffer.alloc(64)].map((frame) => [frame.toString('hex'), frame]))(
    '%s',
    (_hex, frame) => {
      expect(() => frameKind(frame as Buffer)).toThrow(expect.objectContaining({ code: 'PROTOCOL' }));
    },
  );
});
