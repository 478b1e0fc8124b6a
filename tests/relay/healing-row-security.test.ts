import { expect, test } from 'vitest';
import { createRole } from '../support/database-role.ts';
import { HealingScene } from './healing-scene.ts';

test('a lost slot and a policy that hides rows: refused before anything is touched, and healed when it is gone', async () => {
  await using scene = await HealingScene.set();
  const { database } = scene;
  await using role = await createRole(database, { in: ['walpost_relay'], attributes: 'REPLICATION' });
  const more = { database: { ...database, url: role.url } };
  const relay = await scene.start(more);
  await scene.log.has(await scene.publish(3));
  await relay.stop();
  await scene.dropSlot();
  const lost = await scene.publish(5);
  await database.query(
    `CREATE POLICY partly ON walpost.outbox AS RESTRICTIVE FOR SELECT TO ${role.name} USING (organization_id = '${scene.organizations[0]}')`,
  );
  await expect(scene.start(more)).rejects.toMatchObject({ code: 'ROW_SECURITY' });
  expect(await scene.slotExists()).toBe(false);
  expect(await scene.jobs()).toEqual([]);
  expect(scene.log.missing(lost)).toEqual(lost);
  await database.query('DROP POLICY partly ON walpost.outbox');
  await using again = await scene.start(more);
  await scene.log.has(lost);
  await again.stop();
});

test('forced row-level security hides the rows of a table from its owner too, and is refused', async () => {
  await using scene = await HealingScene.set();
  const { database } = scene;
  await using role = await createRole(database, { in: ['walpost_relay'], attributes: 'REPLICATION' });
  await database.query(`
    CREATE TABLE public.events (LIKE walpost.outbox INCLUDING ALL);
    ALTER TABLE public.events OWNER TO ${role.name};
    ALTER TABLE public.events ENABLE ROW LEVEL SECURITY;
    CREATE PUBLICATION events FOR TABLE public.events WITH (publish = 'insert')`);
  const source = { table: 'public.events', publication: 'events' };
  const more = { database: { ...database, url: role.url }, source };
  const relay = await scene.start(more); // the owner is not held to it
  await relay.stop();
  await scene.dropSlot();
  await database.query('ALTER TABLE public.events FORCE ROW LEVEL SECURITY');
  await expect(scene.start(more)).rejects.toMatchObject({ code: 'ROW_SECURITY' });
  expect(await scene.slotExists()).toBe(false);
  expect(await scene.jobs()).toEqual([]);
});
