import { setTimeout as delay } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { bearerMatches } from '../../src/http/bearer.ts';
import { boundedCall } from '../../src/observe/bounded-call.ts';
import { assessHealth } from '../../src/observe/health.ts';
import { LoopLag } from '../../src/observe/loop-lag.ts';

const LIMITS = { loopLag: 100 };

test.each([
  [{ loopLag: 0 }, true, 'alive'],
  [{ loopLag: 100 }, true, 'alive'],
  [{ loopLag: 101 }, false, 'the event loop was blocked for 101 ms'],
])('%j is alive: %s', (vitals, alive, detail) => {
  expect(assessHealth(vitals, LIMITS)).toEqual({ alive, detail });
});

test('a loop that is held up is noticed', async () => {
  using lag = new LoopLag();
  await delay(250); // it looks every 100 ms
  expect(lag.milliseconds()).toBeLessThan(1_500);
  const until = performance.now() + 2_000;
  while (performance.now() < until);
  await delay(250);
  expect(lag.milliseconds()).toBeGreaterThan(1_800);
});

test('who asks while an answer is on its way gets that answer', async () => {
  let asked = 0;
  const answers: ((value: number) => void)[] = [];
  const call = boundedCall(() => new Promise<number>((resolve) => answers.push(resolve) && asked++), 10_000);
  const both = [call(), call()];
  answers[0]?.(1);
  expect(await Promise.all(both)).toEqual([1, 1]);
  const third = call();
  answers[1]?.(2);
  expect(await third).toBe(2);
  expect(asked).toBe(2);
});

test('nobody waits longer than the limit', async () => {
  const call = boundedCall(() => new Promise(() => undefined), 20);
  await expect(call()).rejects.toThrow('no answer within 20 ms');
});

test.each([
  ['Bearer secret', true],
  ['bearer  secret ', true],
  ['Bearer secret2', false],
  ['Bearer secre', false],
  ['Basic secret', false],
  ['secret', false],
  ['', false],
  [undefined, false],
])('the header %j matches: %s', (header, expected) => {
  expect(bearerMatches(header, 'secret')).toBe(expected);
});
