import { expect, test } from 'vitest';
import { poll } from '../support/slot-session.ts';
import { CrashScene, NOTHING_LOST } from './crash-scene.ts';

const DOWN = 503;
const UP = 204;

test.for(['parking', 'parked, not settled'] as const)(
  'killed again and again at: %s',
  { timeout: 120_000 },
  async (point) => {
    await using scene = await CrashScene.set();
    scene.status = DOWN;
    for (const nth of [1, 2, 6]) await scene.crash(point, nth);
    scene.status = UP;
    expect(await scene.finish()).toMatchObject(NOTHING_LOST);
    expect(scene.overtakings).toEqual([]);
    await poll('no row is left', async () => (await scene.parked()) === 0 || undefined);
  },
);

test.for(['delivered, not removed', 'removed'] as const)(
  'killed again and again at: %s',
  { timeout: 120_000 },
  async (point) => {
    await using scene = await CrashScene.set();
    for (const nth of [1, 2, 4]) {
      scene.status = DOWN;
      await using sick = await scene.start();
      await poll('many rows are there', async () => (await scene.parked()) > 20 || undefined);
      await sick.stop('SIGKILL');
      scene.status = UP;
      await scene.crash(point, nth);
    }
    expect(await scene.finish()).toMatchObject(NOTHING_LOST);
    expect(scene.overtakings).toEqual([]);
    await poll('no row is left', async () => (await scene.parked()) === 0 || undefined);
  },
);

test(
  'killed while a batch hangs and what waits behind it is parked: the batch comes first',
  { timeout: 120_000 },
  async () => {
    await using scene = await CrashScene.set();
    for (let turn = 0; turn < 2; turn += 1) {
      let arrived = 0;
      scene.receiver.onBatch = () => {
        arrived += 1;
        return new Promise(() => undefined);
      };
      await using hanging = await scene.start();
      await poll('rows are behind the batch', async () => (arrived > 0 && (await scene.parked()) > 10) || undefined);
      await hanging.stop('SIGKILL');
      scene.takeAgain();
      await using healthy = await scene.start();
      await poll('no row is left', async () => (await scene.parked()) === 0 || undefined, 20_000);
      await healthy.stop('SIGKILL');
    }
    expect(await scene.finish()).toMatchObject(NOTHING_LOST);
    expect(scene.overtakings).toEqual([]);
  },
);
