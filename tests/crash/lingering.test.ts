/**
 * Killed a moment after it came to a point where something is not durable yet. A kill at the point itself leaves no time in
 * which anything could be confirmed too early.
 */
import { expect, test } from 'vitest';
import { poll } from '../support/slot-session.ts';
import { CrashScene, NOTHING_LOST } from './crash-scene.ts';

/** Longer than the distance of two confirmations. */
const LINGER_MS = 800;

test('received, and the sink does not answer', { timeout: 120_000 }, async () => {
  await using scene = await CrashScene.set();
  scene.receiver.onBatch = () => new Promise(() => undefined);
  await scene.crash('received', 10, LINGER_MS);
  scene.takeAgain();
  expect(await scene.finish()).toMatchObject(NOTHING_LOST);
  expect(scene.overtakings).toEqual([]);
});

test('parking, and the database does not answer', { timeout: 120_000 }, async () => {
  await using scene = await CrashScene.set();
  scene.status = 503;
  await scene.crash('parking', 3, LINGER_MS);
  scene.status = 204;
  expect(await scene.finish()).toMatchObject(NOTHING_LOST);
  expect(scene.overtakings).toEqual([]);
});

test('storing a dead letter, and the database does not answer', { timeout: 120_000 }, async () => {
  await using scene = await CrashScene.set();
  await scene.database.query(
    `SELECT walpost.publish(organization_id => gen_random_uuid(), event_type => 'lost.letter', payload => '{}', topic => 'nobody')`,
  );
  await scene.crash('storing a dead letter', 1, LINGER_MS);
  expect(await scene.finish()).toMatchObject(NOTHING_LOST);
  const letters = () => scene.database.query('SELECT reason, count(*)::int FROM walpost.dead_letters GROUP BY reason');
  // The events behind it may arrive before its row is committed.
  await poll('the dead letter is stored', async () => (await letters()).length > 0 || undefined);
  expect(await letters()).toEqual([{ reason: 'unrouted', count: 1 }]);
});

test('delivered from its row, and the database does not answer', { timeout: 120_000 }, async () => {
  await using scene = await CrashScene.set();
  scene.status = 503;
  await scene.crash('parked, not settled', 3, LINGER_MS);
  scene.status = 204;
  await scene.crash('delivered, not removed', 1, LINGER_MS);
  expect(await scene.finish()).toMatchObject(NOTHING_LOST);
  expect(scene.overtakings).toEqual([]);
});
