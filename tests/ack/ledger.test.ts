import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Ledger } from '../../src/ack/ledger.ts';
import type { Origin } from '../../src/event.ts';
import type { Lsn } from '../../src/lsn.ts';

function transaction(commitLsn: Lsn): Origin {
  return {
    commitLsn,
    xid: 1,
    committedAtMicros: 0n,
    unsettled: 0,
    carried: false,
    receivedAt: 0,
    job: null,
    endLsn: null,
    visible: true,
  };
}

describe('the watermark', () => {
  test('is the end LSN of the last transaction before the oldest open one', () => {
    const ledger = new Ledger();
    const [a, b, c] = [transaction(10n), transaction(20n), transaction(30n)] as const;
    for (const origin of [a, b, c]) {
      ledger.begin(origin);
      ledger.hold(origin, 1);
    }
    ledger.commit(a, 20n);
    ledger.commit(b, 30n);
    ledger.commit(c, 40n);
    ledger.settle(b);
    expect(ledger.watermark).toBe(0n);
    ledger.settle(a);
    expect(ledger.watermark).toBe(30n);
    ledger.settle(c);
    expect(ledger.watermark).toBe(40n);
    expect(ledger.openTransactions).toBe(0);
  });

  test('does not pass a transaction whose events all settled before its commit was seen', () => {
    const ledger = new Ledger();
    const origin = transaction(10n);
    ledger.begin(origin);
    ledger.hold(origin, 1);
    ledger.settle(origin);
    expect(ledger.watermark).toBe(0n);
    ledger.commit(origin, 20n);
    expect(ledger.watermark).toBe(20n);
  });

  test('does not pass an open transaction for a keepalive, and does with nothing open', () => {
    const ledger = new Ledger();
    const origin = transaction(10n);
    ledger.begin(origin);
    ledger.keepalive(500n);
    expect(ledger.watermark).toBe(0n);
    ledger.commit(origin, 20n);
    expect(ledger.watermark).toBe(20n);
    ledger.keepalive(500n);
    expect(ledger.watermark).toBe(500n);
    ledger.keepalive(400n);
    expect(ledger.watermark).toBe(500n);
  });

  test('tells keepalives and foreign transactions from those that carried events', () => {
    const ledger = new Ledger();
    const foreign = transaction(10n);
    ledger.begin(foreign);
    ledger.commit(foreign, 20n);
    ledger.keepalive(30n);
    expect(ledger.settledTransactions).toBe(0n);
    const ours = transaction(40n);
    ledger.begin(ours);
    ledger.hold(ours, 1);
    ledger.commit(ours, 50n);
    ledger.settle(ours);
    expect(ledger.settledTransactions).toBe(50n);
  });

  test('refuses to settle what is not held', () => {
    const ledger = new Ledger();
    const origin = transaction(10n);
    ledger.begin(origin);
    expect(() => ledger.settle(origin)).toThrow('more often than held');
  });
});

test('in any interleaving the watermark never passes anything unsettled and never moves back', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(3), { maxLength: 30 }), fc.infiniteStream(fc.nat(1000)), (sizes, choices) => {
      const moves: Lsn[] = [];
      const ledger: Ledger = new Ledger(() => moves.push(ledger.watermark));
      const outstanding: Origin[] = [];
      const origins = sizes.map((_, index) => transaction(BigInt(index * 10 + 1)));
      const pick = (): number => choices.next().value as number;
      const settleOne = (): void => {
        const [origin] = outstanding.splice(pick() % outstanding.length, 1);
        if (origin) ledger.settle(origin);
      };
      const check = (): void => {
        const open = origins.find((origin) => origin.endLsn === null || origin.unsettled > 0);
        if (open?.commitLsn) expect(ledger.watermark).toBeLessThanOrEqual(open.commitLsn);
      };
      origins.forEach((origin, index) => {
        ledger.begin(origin);
        for (let i = 0; i < (sizes[index] ?? 0); i += 1) {
          ledger.hold(origin, 1);
          outstanding.push(origin);
          if (pick() % 3 === 0) settleOne();
          if (pick() % 5 === 0) ledger.keepalive(BigInt(index * 10 + 5));
          check();
        }
        ledger.commit(origin, BigInt(index * 10 + 11));
        check();
      });
      while (outstanding.length > 0) {
        settleOne();
        check();
      }
      expect(ledger.openTransactions).toBe(0);
      if (origins.length > 0) expect(ledger.watermark).toBe(BigInt(origins.length * 10 + 1));
      expect(moves).toEqual(moves.toSorted((a, b) => (a < b ? -1 : 1)));
    }),
  );
});
