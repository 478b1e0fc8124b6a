import { expect, test } from 'vitest';
import { postgresMicros } from '../../src/pg-time.ts';
import { encodeStandbyStatus, statusFor } from '../../src/slot/standby-status.ts';

test('the packet, byte by byte', () => {
  const packet = encodeStandbyStatus({
    written: 0x0000_0001_ffff_ffffn,
    flushed: 0xffff_ffff_0000_0002n,
    applied: 3n,
    clockMicros: 0x0102_0304_0506_0708n,
    replyRequested: true,
  });
  expect(packet.toString('hex')).toBe(
    '72' + '00000001ffffffff' + 'ffffffff00000002' + '0000000000000003' + '0102030405060708' + '01',
  );
  const silent = { written: 0n, flushed: 0n, applied: 0n, clockMicros: -1n, replyRequested: false };
  expect(encodeStandbyStatus(silent).toString('hex')).toBe('72' + '0'.repeat(48) + 'f'.repeat(16) + '00');
});

test('the clock counts microseconds from 2000-01-01 UTC', () => {
  expect(postgresMicros(Date.UTC(2000, 0, 1))).toBe(0n);
  expect(postgresMicros(Date.UTC(2000, 0, 2))).toBe(86_400_000_000n);
  expect(postgresMicros(Date.UTC(1999, 11, 31))).toBe(-86_400_000_000n);
});

test('what is confirmed is said as it is; only the timer asks for an answer', () => {
  expect(statusFor('confirmed', 9n, 5n)).toEqual({ written: 9n, flushed: 5n, applied: 5n, replyRequested: false });
  expect(statusFor('periodic', 9n, 5n)).toEqual({ written: 9n, flushed: 5n, applied: 5n, replyRequested: true });
});

test('asked by the server, it makes no statement about flushing while something is unconfirmed', () => {
  expect(statusFor('requested', 9n, 5n)).toEqual({ written: 9n, flushed: 0n, applied: 0n, replyRequested: false });
  expect(statusFor('requested', 9n, 9n)).toEqual({ written: 9n, flushed: 9n, applied: 9n, replyRequested: false });
});
