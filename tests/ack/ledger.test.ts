import fc from 'fast-check';
import { describe, expect, test } from 'vitest';
import { Ledger } from '../../src/ack/ledger.ts';
import type { TransactionTicket } from '../../src/ack/transaction-ticket.ts';
import type { Lsn } from '../../src/lsn.ts';

/** A transaction whose events are all in flight, and whose Commit was seen when `endLsn` is given. */
function transaction(ledger: Ledger, of: { commitLsn: Lsn; events?: number; endLsn?: Lsn }): TransactionTicket {
  const ticket = ledger.begin(of.commitLsn, 1, 0n);
  if (of.events !== undefined) ticket.expect(of.events);
  if (of.endLsn !== undefined) ledger.commit(of.endLsn);
  return ticket;
}

describe('the watermark', () => {
  test('is the end LSN of the last transaction before the oldest open one', () => {
    const ledger = new Ledger();
    const a = transaction(ledger, { commitLsn: 10n, events: 1, endLsn: 20n });
    const b = transaction(ledger, { commitLsn: 20n, events: 1, endLsn: 30n });
    const c = transaction(ledger, { commitLsn: 30n, events: 1, endLsn: 40n });
    b.settle();
    expect(ledger.watermark).toBe(0n);
    a.settle();
    expect(ledger.watermark).toBe(30n);
    c.settle();
    expect(ledger.watermark).toBe(40n);
    expect(ledger.openTransactions).toBe(0);
  });

  test('does not pass a transaction whose events all settled before its commit was seen', () => {
    const ledger = new Ledger();
    transaction(ledger, { commitLsn: 10n, events: 1 }).settle();
    expect(ledger.watermark).toBe(0n);
    ledger.commit(20n);
    expect(ledger.watermark).toBe(20n);
  });

  test('does not pass an open transaction for a keepalive, and does with nothing open', () => {
    const ledger = new Ledger();
    transaction(ledger, { commitLsn: 10n });
    ledger.keepalive(500n);
    expect(ledger.watermark).toBe(0n);
    ledger.commit(20n);
    expect(ledger.watermark).toBe(20n);
    ledger.keepalive(500n);
    expect(ledger.watermark).toBe(500n);
    ledger.keepalive(400n);
    expect(ledger.watermark).toBe(500n);
  });

  test('tells keepalives and foreign transactions from those that carried events', () => {
    const ledger = new Ledger();
    transaction(ledger, { commitLsn: 10n, endLsn: 20n });
    ledger.keepalive(30n);
    expect(ledger.settledTransactions).toBe(0n);
    transaction(ledger, { commitLsn: 40n, events: 1, endLsn: 50n }).settle();
    expect(ledger.settledTransactions).toBe(50n);
  });

  test('refuses to settle what is not expected', () => {
    const ledger = new Ledger();
    const ticket = transaction(ledger, { commitLsn: 10n });
    expect(() => ticket.settle()).toThrow('more often than expected');
  });
});

test('in any interleaving the watermark never passes anything unsettled and never moves back', () => {
  fc.assert(
    fc.property(fc.array(fc.nat(3), { maxLength: 30 }), fc.infiniteStream(fc.nat(1000)), (sizes, choices) => {
      const moves: Lsn[] = [];
      const ledger: Ledger = new Ledger(() => moves.push(ledger.watermark));
      const outstanding: TransactionTicket[] = [];
      const commitLsnOf = (index: number): Lsn => BigInt(index * 10 + 1);
      let committed = 0;
      const pick = (): number => choices.next().value as number;
      const settleOne = (): void => {
        outstanding.splice(pick() % outstanding.length, 1)[0]?.settle();
      };
      const check = (): void => {
        const isOut = (index: number): boolean => outstanding.some(({ commitLsn }) => commitLsn === commitLsnOf(index));
        const open = sizes.findIndex((_, index) => index >= committed || isOut(index));
        if (open >= 0) expect(ledger.watermark).toBeLessThanOrEqual(commitLsnOf(open));
      };
      sizes.forEach((size, index) => {
        const ticket = ledger.begin(commitLsnOf(index), 1, 0n);
        for (let i = 0; i < size; i += 1) {
          ticket.expect(1);
          outstanding.push(ticket);
          if (pick() % 3 === 0) settleOne();
          if (pick() % 5 === 0) ledger.keepalive(BigInt(index * 10 + 5));
          check();
        }
        ledger.commit(BigInt(index * 10 + 11));
        committed += 1;
        check();
      });
      while (outstanding.length > 0) {
        settleOne();
        check();
      }
      expect(ledger.openTransactions).toBe(0);
      if (sizes.length > 0) expect(ledger.watermark).toBe(BigInt(sizes.length * 10 + 1));
      expect(moves).toEqual(moves.toSorted((a, b) => (a < b ? -1 : 1)));
    }),
  );
});
