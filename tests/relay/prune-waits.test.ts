/** Somebody prunes and does not commit: the relay delivers, says who it is, and prunes when that session has ended. */
import { expect, test } from 'vitest';
import { createRole } from '../support/database-role.ts';
import { poll } from '../support/slot-session.ts';
import { HealingScene } from './healing-scene.ts';

test('who holds the turn of pruning is named in the log, and is waited for', { timeout: 90_000 }, async () => {
  await using scene = await HealingScene.set();
  await using operator = await createRole(scene.database, { in: ['walpost_operator'] });
  const session = await operator.client();
  await session.query('BEGIN; SELECT walpost.prune()');
  const config = { prune: { every: '1s', retention: '1s' } };
  // The checkpoint of the start is the only one, so pruning is due once.
  const old = await scene.publish(5);
  await using relay = await scene.start({ config, source: { checkpoint_interval: '10m' } });
  await scene.log.has(old);

  const busy = () => relay.lines.filter((each) => each.includes('PRUNE_BUSY'));
  const line = await poll('the log names it', async () => busy()[0]);
  expect(line).toContain(`role ${operator.name}, application`);
  const remedy = /SELECT pg_terminate_backend\(\d+\);/.exec(line)?.[0];
  expect(remedy).toBeDefined();
  await scene.log.has(await scene.publish(5));
  expect(relay.service.readiness()).toMatchObject({ ready: true, role: 'leader' });
  const left = () => scene.database.query('SELECT FROM walpost.outbox');
  expect(await left()).toHaveLength(10);

  await scene.database.query(remedy ?? '');
  await poll('the old rows are gone', async () => (await left()).length === 5 || undefined, 30_000);
  await relay.stop();
});
