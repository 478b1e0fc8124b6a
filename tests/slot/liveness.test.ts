import { describe, expect, test } from 'vitest';
import { Heartbeat } from '../../src/slot/heartbeat.ts';
import { livenessLimits, evaluate, startLiveness } from '../../src/slot/liveness.ts';
import { ManualClock } from '../support/manual-clock.ts';

const limits = livenessLimits(3_000);

test('a status every third of the timeout, death after twice; 30 s stand in for a timeout that is off', () => {
  expect(limits).toEqual({ statusEvery: 1_000, silenceLimit: 6_000 });
  expect(livenessLimits(0)).toEqual({ statusEvery: 10_000, silenceLimit: 60_000 });
});

describe('a look', () => {
  const start = startLiveness(0, limits);

  test('before its time sends nothing and waits for the rest', () => {
    const verdict = evaluate(start, { now: 400, heardAt: 0, paused: false }, limits);
    expect(verdict).toMatchObject({ sendStatus: false, dead: false });
    expect(verdict.state.nextCheck).toBe(600);
  });

  test('in time sends a status and counts the silence', () => {
    const verdict = evaluate(start, { now: 1_000, heardAt: 0, paused: false }, limits);
    expect(verdict).toMatchObject({ sendStatus: true, dead: false, state: { silence: 1_000, nextCheck: 1_000 } });
  });

  test('hears: silence begins where the last byte was', () => {
    const before = { ...start, silence: 5_000 };
    expect(evaluate(before, { now: 1_000, heardAt: 700, paused: false }, limits).state.silence).toBe(300);
  });

  test('looks again exactly when the silence would be too long', () => {
    const before = { checkedAt: 1_000, silence: 4_500, statusAt: 1_000, nextCheck: 1_000 };
    const verdict = evaluate(before, { now: 2_000, heardAt: 0, paused: false }, limits);
    expect(verdict).toMatchObject({ dead: false, state: { silence: 5_500, nextCheck: 500 } });
    expect(evaluate(verdict.state, { now: 2_500, heardAt: 0, paused: false }, limits).dead).toBe(true);
  });

  test('after the process stood still for long counts one planned interval, not more', () => {
    const verdict = evaluate(start, { now: 60_000, heardAt: 0, paused: false }, limits);
    expect(verdict).toMatchObject({ sendStatus: true, dead: false, state: { silence: 1_000 } });
  });

  test('while paused counts no silence at all', () => {
    const before = { ...start, silence: 5_900 };
    const verdict = evaluate(before, { now: 1_000, heardAt: 0, paused: true }, limits);
    expect(verdict).toMatchObject({ sendStatus: true, dead: false, state: { silence: 0, nextCheck: 1_000 } });
  });
});

describe('the heartbeat', () => {
  function beating(): { clock: ManualClock; heartbeat: Heartbeat; events: string[] } {
    const clock = new ManualClock();
    const events: string[] = [];
    const heartbeat = new Heartbeat({
      clock,
      walSenderTimeout: 3_000,
      sendStatus: () => events.push(`status ${clock.now()}`),
      onSilence: () => events.push(`silence ${clock.now()}`),
    });
    heartbeat.start();
    return { clock, heartbeat, events };
  }

  test('beats every third, and stops for good at the end of the silence', async () => {
    const { clock, events } = beating();
    await clock.advance(20_000);
    const statuses = [1, 2, 3, 4, 5].map((second) => `status ${second * 1_000}`);
    expect(events).toEqual([...statuses, 'silence 6000']);
    expect(clock.pending).toBe(0);
  });

  test('never falls silent while anything is heard', async () => {
    const { clock, heartbeat, events } = beating();
    for (let second = 0; second < 30; second += 5) {
      await clock.advance(5_000);
      heartbeat.heard();
    }
    expect(events).toHaveLength(30);
    expect(events.join()).not.toContain('silence');
    heartbeat.stop();
    expect(clock.pending).toBe(0);
  });

  test('beats on while paused, and listens afresh after that', async () => {
    const { clock, heartbeat, events } = beating();
    heartbeat.pause();
    await clock.advance(30_500);
    expect(events).toHaveLength(30);
    heartbeat.resume();
    await clock.advance(5_900);
    expect(events.join()).not.toContain('silence');
    await clock.advance(200);
    expect(events.at(-1)).toBe('silence 36500');
  });
});
