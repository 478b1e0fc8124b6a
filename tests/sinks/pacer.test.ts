import { describe, expect, test } from 'vitest';
import { Pacer } from '../../src/sinks/pacer.ts';
import { ManualClock } from '../support/manual-clock.ts';

const never = new AbortController().signal;

describe('turns', () => {
  test('one in an interval, for each key, in the order of asking', async () => {
    const clock = new ManualClock();
    const pacer = new Pacer(clock, 1000);
    const served: string[] = [];
    const ask = (key: string, name: string) => void pacer.turn(key, never).then(() => served.push(name));
    for (const name of ['a1', 'a2', 'a3']) ask('a', name);
    ask('b', 'b1');
    await clock.advance(0);
    expect(served).toEqual(['a1', 'b1']);
    await clock.advance(999);
    expect(served).toHaveLength(2);
    await clock.advance(1);
    expect(served).toEqual(['a1', 'b1', 'a2']);
    await clock.advance(1000);
    expect(served).toEqual(['a1', 'b1', 'a2', 'a3']);
  });

  test('of those who give up are not lost: somebody is served in every interval', async () => {
    const clock = new ManualClock();
    const pacer = new Pacer(clock, 1000);
    let served = 0;
    // Sixteen at once, each of whom waits for ten seconds at most, and asks again.
    const askAgain = async (): Promise<void> => {
      while (clock.now() < 120_000) {
        const patience = new AbortController();
        const timer = clock.schedule(10_000, () => patience.abort());
        if (await pacer.turn('a', patience.signal)) served += 1;
        timer.cancel();
      }
    };
    const all = Array.from({ length: 16 }, askAgain);
    await clock.advance(140_000);
    await Promise.all(all);
    expect(served).toBeGreaterThanOrEqual(120);
  });

  test('a hold is for those too who wait already, and ends on time', async () => {
    const clock = new ManualClock();
    const pacer = new Pacer(clock, 1000);
    await pacer.turn('a', never);
    const second = pacer.turn('a', never).then(() => clock.now());
    pacer.hold('a', 30_000);
    await clock.advance(60_000);
    expect(await second).toBe(30_000);
  });
});
