import { expect, test } from 'vitest';
import type { RunningWalpost } from '../e2e/running-walpost.ts';
import { CrashScene, NOTHING_LOST } from './crash-scene.ts';

test.for(['locked', 'claimed'] as const)('killed again and again at: %s', { timeout: 120_000 }, async (point) => {
  await using scene = await CrashScene.set();
  for (let turn = 0; turn < 3; turn += 1) await scene.crash(point);
  expect(await scene.finish()).toMatchObject(NOTHING_LOST);
  expect(scene.overtakings).toEqual([]);
});

test(
  'killed again and again at: older stream ended, while each older leader is only stopped',
  { timeout: 120_000 },
  async () => {
    await using scene = await CrashScene.set();
    const stopped: RunningWalpost[] = [];
    try {
      for (let turn = 0; turn < 2; turn += 1) {
        const leader = await scene.start();
        stopped.push(leader);
        leader.cli.child.kill('SIGSTOP');
        await scene.crash('older stream ended');
      }
      const finished = scene.finish();
      for (const leader of stopped) leader.cli.child.kill('SIGCONT');
      expect(await finished).toMatchObject(NOTHING_LOST);
      expect(scene.overtakings).toEqual([]);
    } finally {
      for (const leader of stopped) await leader[Symbol.asyncDispose]();
    }
  },
);
