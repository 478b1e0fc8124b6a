import { describe, expect, test } from 'vitest';
import { confirmDelay } from '../../src/ack/confirm-policy.ts';
import { Confirmer } from '../../src/ack/confirmer.ts';
import { Ledger } from '../../src/ack/ledger.ts';
import type { Lsn } from '../../src/lsn.ts';
import { ManualClock, settleMicrotasks } from '../support/manual-clock.ts';

function setUp() {
  const clock = new ManualClock();
  const calls: string[] = [];
  let gate: Promise<void> = Promise.resolve();
  let failure: Error | undefined;
  const errors: unknown[] = [];
  const ledger: Ledger = new Ledger(() => confirmer.advanced());
  const confirmer: Confirmer = new Confirmer({
    ledger,
    clock,
    writeCursor: async (lsn) => {
      calls.push(`cursor ${lsn}`);
      await gate;
      if (failure) throw failure;
      calls.push(`committed ${lsn}`);
    },
    confirmSlot: (lsn) => calls.push(`slot ${lsn}`),
    onError: (error) => errors.push(error),
  });
  const deliver = (commitLsn: Lsn, endLsn: Lsn): void => {
    const ticket = ledger.begin(commitLsn, 1, 0n);
    ticket.expect(1);
    ledger.commit(endLsn);
    ticket.settle();
  };
  const hold = (): (() => void) => {
    let release: () => void = () => undefined;
    gate = new Promise((resolve) => (release = resolve));
    return release;
  };
  return { clock, calls, errors, ledger, confirmer, deliver, hold, fail: (error: Error) => (failure = error) };
}

describe('confirming', () => {
  test('commits the cursor row before it tells the slot', async () => {
    const { clock, calls, deliver, hold } = setUp();
    const release = hold();
    deliver(10n, 20n);
    await clock.advance(1000);
    expect(calls).toEqual(['cursor 20']);
    release();
    await settleMicrotasks();
    expect(calls).toEqual(['cursor 20', 'committed 20', 'slot 20']);
  });

  test('never tells the slot when the cursor row failed, and reports it', async () => {
    const { clock, calls, errors, deliver, fail } = setUp();
    fail(new Error('disk full'));
    deliver(10n, 20n);
    await clock.advance(1000);
    expect(calls).toEqual(['cursor 20']);
    expect(errors).toHaveLength(1);
  });

  test('happens at most five times a second, with the newest watermark', async () => {
    const { clock, calls, deliver } = setUp();
    for (let i = 1n; i <= 100n; i += 1n) {
      deliver(i * 10n, i * 10n + 10n);
      await clock.advance(10);
    }
    await clock.advance(1000);
    const confirmed = calls.filter((call) => call.startsWith('slot'));
    expect(confirmed.length).toBeLessThanOrEqual(7);
    expect(confirmed.at(-1)).toBe('slot 1010');
  });

  test('rests when keepalives bring only what its own row wrote', async () => {
    const { clock, calls, ledger } = setUp();
    let position = 1_000_000n;
    ledger.keepalive(position);
    await clock.advance(60_000);
    const keepalives = async (): Promise<number> => {
      const before = calls.length;
      for (let i = 0; i < 200; i += 1) {
        ledger.keepalive((position += 30n));
        await clock.advance(1000);
      }
      return calls.slice(before).filter((call) => call.startsWith('slot')).length;
    };
    expect(await keepalives()).toBe(4); // so that the slot lets go of the WAL that came before
    expect(await keepalives()).toBe(0);
    ledger.keepalive((position += 100_000n));
    expect(await keepalives()).toBe(5);
    expect(await keepalives()).toBe(0);
  });

  test('an event does not wait for the confirmation of a keepalive that has time', async () => {
    const { clock, calls, ledger, deliver } = setUp();
    ledger.keepalive(1_000_000n);
    await clock.advance(300);
    ledger.keepalive(1_100_000n);
    await clock.advance(300);
    deliver(1_100_100n, 1_100_200n);
    await clock.advance(200);
    expect(calls.at(-1)).toBe('slot 1100200');
  });

  test('flush confirms what the policy would leave, and a closed confirmer tells the slot nothing more', async () => {
    const { calls, ledger, confirmer, deliver } = setUp();
    ledger.keepalive(100n);
    await confirmer.flush();
    expect(calls.at(-1)).toBe('slot 100');
    confirmer.close();
    deliver(200n, 300n);
    await settleMicrotasks();
    expect(calls.at(-1)).toBe('slot 100');
  });
});

test('the policy: events soon, foreign WAL when it is much, crumbs seldom', () => {
  const base = { confirmed: 100n, confirmedAt: 0, now: 1000, settledTransactions: 0n, followUps: 4 };
  expect(confirmDelay({ ...base, watermark: 100n })).toBeUndefined();
  expect(confirmDelay({ ...base, watermark: 200n })).toBeUndefined();
  expect(confirmDelay({ ...base, watermark: 200n, followUps: 3 })).toBe(9000);
  expect(confirmDelay({ ...base, watermark: 200n, settledTransactions: 200n })).toBe(0);
  expect(confirmDelay({ ...base, watermark: 200n, settledTransactions: 200n, now: 50 })).toBe(150);
  expect(confirmDelay({ ...base, watermark: 100n + 8n * 1024n * 1024n })).toBe(0);
  expect(confirmDelay({ ...base, watermark: 100n + 64n * 1024n })).toBe(9000);
});
