import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { migrate } from '../../../src/postgres/schema/migrate.ts';
import { HealingScene } from '../healing-scene.ts';
import { mappedSource } from '../../support/mapped-source.ts';

const TIMEOUT = { timeout: 90_000 };

const MAPPED = mappedSource();

/** The order of each organization is that of the transactions, whatever lies between. */
function expectOrder(scene: HealingScene, ids: readonly string[]): void {
  for (const organization of scene.organizations) {
    const came = scene.log.events.filter((event) => event.organization_id === organization);
    const mine = new Set(came.map(({ event_id }) => event_id));
    expect(came.map(({ event_id }) => event_id)).toEqual(ids.filter((id) => mine.has(id)));
  }
  expect(scene.log.events).toHaveLength(ids.length);
}

async function mapped(scene: HealingScene, columns = ''): Promise<void> {
  await scene.query(
    `CREATE SCHEMA shop; CREATE TABLE shop.outbox (id uuid, org uuid, kind text, body json ${columns})`,
  );
}

async function write(scene: HealingScene, count: number): Promise<string[]> {
  const rows = await scene.database.query<{ id: string }>(
    `INSERT INTO shop.outbox (id, org, kind, body)
     SELECT gen_random_uuid(), $2, 'thing.made', '{}' FROM generate_series(1, $1::integer) RETURNING id::text`,
    [count, randomUUID()],
  );
  return rows.map(({ id }) => id);
}

const SCAN = ', created_xid xid8 NOT NULL DEFAULT pg_current_xact_id(), seq bigint GENERATED ALWAYS AS IDENTITY';

test(
  'migrate, publish 50, run: all 50 arrive in order, and a second run sends none of them again',
  TIMEOUT,
  async () => {
    await using scene = await HealingScene.set({ migrated: false });
    await migrate(scene.database.url);
    const ids = await scene.publish(50);
    expect(await scene.query('SELECT pending, no_relay_since IS NOT NULL AS waits FROM walpost.health')).toEqual([
      { pending: '50', waits: true },
    ]);
    await scene.query(`UPDATE walpost.settings SET value = '0' WHERE name = 'alert_grace_seconds'`);
    expect(await scene.query(`SELECT severity FROM walpost.alerts WHERE name = 'no_relay'`)).toEqual([
      { severity: 'critical' },
    ]);

    const relay = await scene.start();
    await scene.log.has(ids);
    expectOrder(scene, ids);
    await relay.stop();
    expect(await scene.query('SELECT no_relay_since FROM walpost.health')).toEqual([{ no_relay_since: null }]);

    await using _again = await scene.start();
    ids.push(...(await scene.publish(1)));
    await scene.log.has(ids);
    expectOrder(scene, ids);
  },
);

test('a first start over an empty outbox heals nothing', TIMEOUT, async () => {
  await using scene = await HealingScene.set();
  await using _relay = await scene.start();
  await scene.log.has(await scene.publish(3));
  expect(await scene.jobs()).toEqual([]);
});

test.each([
  ['a slot that somebody made before', ''],
  [
    'a first start that died before it had a slot in its cursor',
    `INSERT INTO walpost.cursor (slot, epoch, system_identifier, timeline)
     SELECT '{slot}', 1, system_identifier::text, 1 FROM pg_control_system()`,
  ],
])('%s hides no rows that are older', async (_name, left) => {
  await using scene = await HealingScene.set();
  const ids = await scene.publish(5);
  await scene.createSlot();
  if (left !== '') await scene.query(left.replace('{slot}', scene.database.slotName));
  ids.push(...(await scene.publish(5)));
  await using _relay = await scene.start();
  await scene.log.has(ids);
  expectOrder(scene, ids);
});

test('a slot that somebody made before, over a table without rows, is used', TIMEOUT, async () => {
  await using scene = await HealingScene.set();
  await scene.createSlot();
  const ids = await scene.publish(3);
  await scene.query('DELETE FROM walpost.outbox'); // only that slot still has them
  await using _relay = await scene.start();
  await scene.log.has(ids);
  expect(await scene.jobs()).toEqual([]);
});

test('a mapped table with rows: nothing is sent until somebody decides; deliver sends them', TIMEOUT, async () => {
  await using scene = await HealingScene.set();
  await mapped(scene, SCAN);
  const ids = await write(scene, 3);
  const refused = scene.start({ source: MAPPED });
  await expect(refused).rejects.toMatchObject({
    code: 'EXISTING_ROWS',
    message: expect.stringContaining('shop.outbox has 3 rows.'),
    remedy: expect.stringContaining('source.existing: deliver'),
  });
  expect(await scene.slotExists()).toBe(false);
  expect(await scene.query('SELECT FROM walpost.cursor')).toEqual([]);
  const relay = await scene.start({ source: { ...MAPPED, existing: 'deliver' } });
  await scene.log.has(ids);
  await relay.stop();
  await using _again = await scene.start({ source: MAPPED });
  await scene.log.has([...ids, ...(await write(scene, 1))]);
  expect(scene.log.events).toHaveLength(4);
});

test('a mapped table with many rows, skipped: what comes later is sent', TIMEOUT, async () => {
  await using scene = await HealingScene.set();
  await mapped(scene);
  await write(scene, 10_001);
  await expect(scene.start({ source: MAPPED })).rejects.toThrow(/more than 10,000 rows/);
  await using _relay = await scene.start({ source: { ...MAPPED, existing: 'skip' } });
  const ids = await write(scene, 2);
  await scene.log.has(ids);
  expect(scene.log.events).toHaveLength(2);
});

test('a mapped table that cannot be scanned is not delivered from, and the remedy mends that', TIMEOUT, async () => {
  await using scene = await HealingScene.set();
  await mapped(scene);
  const ids = await write(scene, 2);
  const source = { ...MAPPED, existing: 'deliver' };
  const error = await scene.start({ source }).catch((reason: unknown) => reason as { code: string; remedy: string });
  expect(error).toMatchObject({ code: 'SCAN_COLUMNS' });
  const { remedy } = error as { remedy: string };
  for (const statement of remedy.split(';').filter((part) => part.trim() !== '')) await scene.query(statement);
  await using _relay = await scene.start({ source });
  await scene.log.has(ids);
});

test.each([
  ['delivers', 'deliver', ['failed', 'done']],
  ['skips', 'skip', ['cancelled']],
])('a first start that %s ends a healing that was left under its name', async (_name, existing, states) => {
  await using scene = await HealingScene.set();
  const ids = await scene.publish(2);
  await scene.query(
    `INSERT INTO walpost.jobs (slot, kind, reason) VALUES ('${scene.database.slotName}', 'heal', 'left')`,
  );
  await using _relay = await scene.start({ source: { existing } });
  const more = await scene.publish(1);
  await scene.log.has(existing === 'deliver' ? [...ids, ...more] : more);
  expect((await scene.jobs()).map(({ state }) => state)).toEqual(states);
});

test('a healing that was left is ended over an empty outbox, with a slot that somebody made', async () => {
  await using scene = await HealingScene.set();
  await scene.createSlot();
  await scene.query(
    `INSERT INTO walpost.jobs (slot, kind, reason) VALUES ('${scene.database.slotName}', 'heal', 'left')`,
  );
  await using _relay = await scene.start();
  await scene.log.has(await scene.publish(1));
  expect((await scene.jobs()).map(({ state }) => state)).toEqual(['cancelled']);
});

test('rows of another cluster in walpost.outbox say nothing about a mapped table', TIMEOUT, async () => {
  await using scene = await HealingScene.set();
  await scene.publish(1);
  await scene.query(`UPDATE walpost.outbox SET created_xid = '9000000000'`);
  await mapped(scene);
  await using _relay = await scene.start({ source: MAPPED });
  await scene.log.has(await write(scene, 1));
});
