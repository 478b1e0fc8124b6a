import { describe, expect, test } from 'vitest';
import { KeysOutdated } from '../../src/emit-key.ts';
import { WalpostError } from '../../src/errors.ts';
import { FrameGate } from '../../src/emit/frame-gate.ts';
import { ManualClock, settleMicrotasks } from '../support/manual-clock.ts';

/** Frames are texts; one such as `key 3` needs that many readings of the keys. */
function scene(read: () => Promise<void> = () => Promise.resolve()) {
  const clock = new ManualClock();
  const seen = {
    frames: [] as string[],
    paused: [] as boolean[],
    readings: [] as number[],
    warned: 0,
    failures: [] as unknown[],
  };
  let known = 0;
  const keyGate = new FrameGate({
    handler: {
      data: (payload) => {
        const text = payload.toString();
        if (text === 'defect') throw new Error(text);
        if (Number(/key (\d+)/.exec(text)?.[1] ?? 0) > known) throw new KeysOutdated();
        seen.frames.push(text);
      },
      keepalive: (lsn) => seen.frames.push(`keepalive ${lsn}`),
    },
    setPaused: (paused) => seen.paused.push(paused),
    keys: {
      read: async () => {
        seen.readings.push(clock.now());
        await read();
        known += 1;
      },
    },
    clock,
    log: { warn: () => (seen.warned += 1) } as never,
    fail: (error) => seen.failures.push(error),
  });
  const put = (...texts: string[]): void => {
    for (const text of texts) {
      const bytes = Buffer.from(text);
      keyGate.data(bytes);
      bytes.fill(0);
    }
  };
  return { ...seen, seen, clock, keyGate, put };
}

test('frames go straight through, and errors straight back', () => {
  const { put, seen } = scene();
  put('a', 'b');
  expect(seen.frames).toEqual(['a', 'b']);
  expect(() => put('defect')).toThrow('defect');
  expect(seen.paused).toEqual([]);
});

describe('a message with a key that is newer than the reading', () => {
  test('waits until the keys are read, and so does everything behind it', async () => {
    const { put, keyGate, seen, clock } = scene();
    put('a', 'key 1', 'b');
    keyGate.keepalive(7n);
    put('c');
    expect(seen).toMatchObject({ frames: ['a'], paused: [true] });
    await clock.advance(0);
    expect(seen.frames).toEqual(['a', 'key 1', 'b', 'keepalive 7', 'c']);
    expect(seen.paused).toEqual([true, false]);
    put('d');
    expect(seen.frames.at(-1)).toBe('d');
    expect(seen.readings).toEqual([0]);
  });

  test('costs a query each tenth of a second at most, however many there are', async () => {
    const { put, seen, clock } = scene();
    const texts = Array.from({ length: 1000 }, (_, n) => `key ${Math.floor(n / 100) + 1}`);
    put(...texts);
    await clock.advance(10_000);
    expect(seen.frames).toEqual(texts);
    expect(seen.readings).toEqual([0, 100, 200, 300, 400, 500, 600, 700, 800, 900]);
    expect(seen.paused).toEqual([true, false]);
  });

  test('waits as long as the database does not answer', async () => {
    let tries = 0;
    const { put, seen, clock } = scene(() =>
      ++tries < 4 ? Promise.reject(new WalpostError('CONNECTION_LOST')) : Promise.resolve(),
    );
    put('key 1', 'a');
    await clock.advance(2_999);
    expect(seen).toMatchObject({ frames: [], warned: 3, failures: [] });
    await clock.advance(1);
    expect(seen.frames).toEqual(['key 1', 'a']);
  });

  test('ends the relay when the keys cannot be had', async () => {
    const { put, seen, clock } = scene(() => Promise.reject(new WalpostError('EMIT_KEYS')));
    put('key 1');
    await clock.advance(0);
    expect(seen.failures).toMatchObject([{ code: 'EMIT_KEYS' }]);
  });

  test('does not hide what is wrong with a frame behind it, and lets nothing past that', async () => {
    const { put, seen, clock } = scene();
    put('key 1', 'defect', 'a');
    await clock.advance(0);
    put('b');
    await clock.advance(1_000);
    expect(seen.frames).toEqual(['key 1']);
    expect(seen.failures).toMatchObject([{ message: 'defect' }]);
  });

  test('stays outside with everything behind it when the relay stops', async () => {
    const { put, seen, clock, keyGate } = scene();
    put('key 1');
    keyGate.stop();
    put('a');
    keyGate.keepalive(7n);
    await clock.advance(10_000);
    expect(seen).toMatchObject({ frames: [], failures: [], paused: [true, true] });
    expect(clock.pending).toBe(0);
  });
});

test('the reading rests while the router is full, or while something is held, and for good after the stop', async () => {
  const { put, seen, clock, keyGate } = scene();
  keyGate.setBackpressure(true);
  keyGate.setBackpressure(false);
  put('key 1');
  keyGate.setBackpressure(true);
  keyGate.setBackpressure(false);
  expect(seen.paused).toEqual([true, false, true, true, true]);
  keyGate.setBackpressure(true);
  await clock.advance(0);
  expect(seen.paused.at(-1)).toBe(true); // let in, and full
  keyGate.setBackpressure(false);
  expect(seen.paused.at(-1)).toBe(false);
  keyGate.stop();
  keyGate.setBackpressure(false);
  expect(seen.paused.at(-1)).toBe(true);
  put('rest of the chunk');
  expect(seen.frames.at(-1)).toBe('rest of the chunk');
  await settleMicrotasks();
});
