import { expect, test } from 'vitest';
import { poll } from '../support/slot-session.ts';
import { CrashScene, NOTHING_LOST } from './crash-scene.ts';
import type { Failpoint } from './failpoints.ts';

const POINTS: readonly (readonly [Failpoint, readonly number[]])[] = [
  ['received', [1, 7, 40]],
  ['answered, not settled', [1, 2, 5]],
  ['settled, no cursor row', [1, 1, 3]],
  ['cursor row, not confirmed', [1, 1, 3]],
];

test.for(POINTS)('killed again and again at: %s', { timeout: 120_000 }, async ([point, turns]) => {
  await using scene = await CrashScene.set();
  for (const nth of turns) await scene.crash(point, nth);
  const result = await scene.finish();
  expect(result).toMatchObject(NOTHING_LOST);
  expect(result.committed).toBeGreaterThan(30);
  expect(scene.overtakings).toEqual([]);
});

test('killed again and again at: sent, not answered', { timeout: 120_000 }, async () => {
  await using scene = await CrashScene.set();
  for (let turn = 0; turn < 3; turn += 1) {
    await using child = await scene.start();
    scene.onArrival = () => child.cli.child.kill('SIGKILL');
    expect((await child.cli.result()).code).toBe('SIGKILL');
  }
  scene.onArrival = undefined;
  const result = await scene.finish();
  expect(result).toMatchObject(NOTHING_LOST);
  expect(result.duplicates).toBeGreaterThan(0);
  expect(scene.overtakings).toEqual([]);
});

test.for(['storing a dead letter', 'dead letter stored, not settled'] as const)(
  'killed again and again at: %s',
  { timeout: 120_000 },
  async (point) => {
    await using scene = await CrashScene.set();
    for (let turn = 0; turn < 3; turn += 1) {
      await scene.database.query(
        `SELECT walpost.publish(organization_id => gen_random_uuid(), event_type => 'lost.letter', payload => '{}', topic => 'nobody')`,
      );
      await scene.crash(point);
    }
    expect(await scene.finish()).toMatchObject(NOTHING_LOST);
    const stored = () => scene.database.query('SELECT reason, count(*)::int FROM walpost.dead_letters GROUP BY reason');
    // Each start was killed at the first dead letter, so the last one may have others still to store.
    await poll('each dead letter', async () => ((await stored())[0]?.['count'] === 3 ? true : undefined));
    expect(await stored()).toEqual([{ reason: 'unrouted', count: 3 }]);
  },
);
