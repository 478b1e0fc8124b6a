import { expect, test } from 'vitest';
import { endStoredPause, readPauses, storePause } from '../../src/parking/pauses.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { poll } from '../support/slot-session.ts';
import { CrashScene, NOTHING_LOST } from './crash-scene.ts';

test('a leader that is killed while its sink is paused: nothing leaves until it is resumed, then all in order', async () => {
  await using scene = await CrashScene.set();
  const { database } = scene;
  const pool = createPool(database.url, { applicationName: 'operator', max: 1 });
  try {
    const part = { slot: database.slotName, sink: 'hook', organizationId: null };
    {
      await using leader = await scene.start();
      await scene.receiver.received(20);
      await storePause(pool, { ...part, by: 'ann', reason: null });
      await leader.cli.prints(/"msg":"paused: nothing is sent/);
      await poll('much is parked', async () => (await scene.parked()) > 50 || undefined, 30_000);
      leader.cli.child.kill('SIGKILL');
      await leader.cli.result();
    }
    const arrived = scene.record.delivered;
    {
      await using second = await scene.start();
      const before = await scene.parked();
      await poll('more is parked', async () => (await scene.parked()) > before + 50 || undefined, 30_000);
      second.cli.child.kill('SIGKILL');
      await second.cli.result();
    }
    expect(scene.record.delivered).toBe(arrived);
    expect(await readPauses(pool, database.slotName)).toMatchObject([{ sink: 'hook', pausedBy: 'ann' }]);
    await endStoredPause(pool, part);
    expect(await scene.finish()).toMatchObject(NOTHING_LOST);
    expect(scene.overtakings).toEqual([]);
  } finally {
    await pool.end();
  }
}, 120_000);
