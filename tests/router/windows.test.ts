import { describe, expect, test } from 'vitest';
import { TimerHeap } from '../../src/router/timing/timer-heap.ts';
import { Windows } from '../../src/router/timing/windows.ts';
import { ManualClock } from '../support/manual-clock.ts';

describe('windows', () => {
  test('each closes after its length, not before, all by one timer', async () => {
    const clock = new ManualClock();
    const closed = new Map<number, number>();
    const opened = new Map<number, number>();
    let ticks = 0;
    const windows = new Windows<number>(clock, 250, {
      onClose: (item) => closed.set(item, clock.now()),
      onTick: () => (ticks += 1),
    });
    for (let i = 0; i < 10_000; i += 1) {
      opened.set(i, clock.now());
      windows.add(i);
      if (i % 100 === 99) await clock.advance(7);
      expect(clock.pending).toBe(1);
    }
    await clock.advance(1000);
    expect(closed.size).toBe(10_000);
    for (const [item, at] of closed) expect(at - (opened.get(item) ?? 0)).toBe(250);
    expect(ticks).toBe(100);
    expect(clock.pending).toBe(0);
  });

  test('a window that opens while another closes, as with the leading edge, keeps none waiting', async () => {
    const clock = new ManualClock();
    const closed: string[] = [];
    const windows: Windows<string> = new Windows(clock, 250, {
      onClose: (item) => closed.push(`${item} at ${clock.now()}`),
      onTick: () => void (closed.length === 1 && windows.add('a again')),
    });
    windows.add('a');
    await clock.advance(10);
    windows.add('b');
    await clock.advance(1000);
    expect(closed).toEqual(['a at 250', 'b at 260', 'a again at 500']);
    expect(clock.pending).toBe(0);
  });

  test('nothing is left to ring once the windows are disposed of while one closes', async () => {
    const clock = new ManualClock();
    const windows: Windows<string> = new Windows(clock, 250, {
      onClose: () => windows.close(),
      onTick: () => undefined,
    });
    windows.add('a');
    await clock.advance(10);
    windows.add('b');
    await clock.advance(240);
    expect(clock.pending).toBe(0);
  });

  test('on the real clock none closes early', async () => {
    const { systemClock } = await import('../../src/clock.ts');
    const late: number[] = [];
    await new Promise<void>((resolve) => {
      const opened: number[] = [];
      const windows = new Windows<number>(systemClock, 50, {
        onClose: (item) => {
          late.push(performance.now() - (opened[item] ?? 0) - 50);
          if (late.length === 2000) resolve();
        },
        onTick: () => undefined,
      });
      for (let i = 0; i < 2000; i += 1) {
        opened.push(performance.now());
        windows.add(i);
      }
    });
    expect(Math.min(...late)).toBeGreaterThanOrEqual(0);
  });

  test('closes all at once when told to', () => {
    const closed: string[] = [];
    const windows = new Windows<string>(new ManualClock(), 250, {
      onClose: (item) => closed.push(item),
      onTick: () => undefined,
    });
    windows.add('a');
    windows.add('b');
    windows.closeAll();
    expect(closed).toEqual(['a', 'b']);
    expect(windows.open).toBe(0);
  });
});

test('alarms ring in order of their moments, by one timer', async () => {
  const clock = new ManualClock();
  const rang: [number, number][] = [];
  const alarms = new TimerHeap<number>(clock, (item) => rang.push([item, clock.now()]));
  const delays = Array.from({ length: 500 }, (_, index) => ((index * 7919) % 1000) + 1);
  delays.forEach((delay, index) => alarms.set(index, delay));
  expect(clock.pending).toBe(1);
  await clock.advance(1000);
  expect(rang).toHaveLength(500);
  for (const [item, at] of rang) expect(at).toBe(delays[item]);
  expect(rang.map(([, at]) => at)).toEqual(delays.toSorted((a, b) => a - b));
});
