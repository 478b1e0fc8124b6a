import type pg from 'pg';
import { expect, test } from 'vitest';
import { migrate } from '../../../src/postgres/schema/migrate.ts';
import { usualSlot } from '../../../src/relay/starts/start-facts.ts';
import { databaseUrl } from '../../support/database.ts';
import { createRole } from '../../support/database-role.ts';
import { poll } from '../../support/slot-session.ts';
import { HealingScene } from '../healing-scene.ts';
import { newClient } from '../../support/client.ts';

const TIMEOUT = { timeout: 90_000 };

const AS_USUAL = { slot: undefined };

/** The template may have no connections; so those of the test end, and it connects again. */
async function copyOf(scene: HealingScene): Promise<HealingScene> {
  const { name, url } = scene.database;
  const copy = await HealingScene.set({ migrated: false });
  await onServer(url, async (admin) => {
    await endSessions(admin, name);
    await admin.query(`DROP DATABASE ${copy.database.name}`);
    await admin.query(`CREATE DATABASE ${copy.database.name} TEMPLATE ${name}`);
  });
  await scene.reconnect();
  return copy;
}

async function onServer(url: string, work: (admin: pg.Client) => Promise<void>): Promise<void> {
  const admin = newClient({ connectionString: databaseUrl(url, 'postgres') });
  await admin.connect();
  try {
    await work(admin);
  } finally {
    await admin.end();
  }
}

async function endSessions(admin: pg.Client, ...names: string[]): Promise<void> {
  await admin.query('SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = ANY ($1)', [names]);
}

/** Each of two databases gets the name of the other. */
async function swap(admin: pg.Client, one: string, other: string): Promise<void> {
  await endSessions(admin, one, other);
  await admin.query(`ALTER DATABASE ${one} RENAME TO ${one}_kept`);
  await admin.query(`ALTER DATABASE ${other} RENAME TO ${one}`);
  await admin.query(`ALTER DATABASE ${one}_kept RENAME TO ${other}`);
}

/** A relay that has delivered, one event that is parked, and a replay that nobody has begun; then nothing runs. */
async function used(scene: HealingScene): Promise<string[]> {
  const relay = await scene.start({
    source: AS_USUAL,
    config: { delivery: { park_after: '100ms', quick_retries: 0 } },
  });
  const ids = await scene.publish(3);
  await scene.log.has(ids);
  await scene.proven(ids);
  await scene.log.has(ids);
  const take = scene.log.receiver.onBatch;
  scene.log.receiver.onBatch = () => 503;
  ids.push(...(await scene.publish(1)));
  await poll('parked', async () => ((await scene.query('SELECT FROM walpost.parked')).length > 0 ? true : undefined));
  await relay.stop();
  scene.log.receiver.onBatch = take;
  await scene.query(`INSERT INTO walpost.jobs (slot, kind) SELECT slot, 'replay' FROM walpost.cursor`);
  return [...ids, ...(await scene.publish(2))];
}

test('a copy in the same cluster sends nothing by itself; skip settles what it has', TIMEOUT, async () => {
  await using scene = await HealingScene.set();
  const ids = await used(scene);
  await using copy = await copyOf(scene);
  await migrate(copy.database.url);
  const refused = copy.start({ source: AS_USUAL });
  await expect(refused).rejects.toMatchObject({
    code: 'COPIED_DATABASE',
    message: expect.stringContaining(`has ${ids.length} rows, 1 event is parked, and there are 0 dead letters`),
    remedy: expect.stringContaining('source.existing: skip'),
  });
  expect(await copy.query('SELECT slot_status FROM walpost.cursor_health')).toEqual([
    { slot_status: 'other_database' },
  ]);
  expect(await copy.query(`SELECT name, severity FROM walpost.alerts WHERE name LIKE 'slot_%'`)).toEqual([
    { name: 'slot_other_database', severity: 'critical' },
  ]);
  const taken = copy.start({ source: { slot: usualSlot(scene.database.name), existing: 'skip' } });
  await expect(taken).rejects.toMatchObject({ code: 'SLOT_OTHER_DATABASE' });

  const relay = await copy.start({ source: { ...AS_USUAL, existing: 'skip' } });
  expect(relay.lines.some((line) => /"parked":1,"jobs":1/.test(line))).toBe(true);
  const fresh = await copy.publish(2);
  await copy.log.has(fresh);
  expect(copy.log.events).toHaveLength(2);
  expect(await copy.query('SELECT FROM walpost.parked')).toEqual([]);
  const proven = `SELECT FROM walpost.outbox WHERE walpost.is_proven(created_xid)`;
  expect((await copy.query(proven)).length).toBeGreaterThanOrEqual(ids.length);
  await relay.stop();
  await using _again = await copy.start({ source: AS_USUAL });
  await copy.log.has([...fresh, ...(await copy.publish(1))]);
  expect(copy.log.events).toHaveLength(3);

  scene.log.clear();
  await using _original = await scene.start({ source: AS_USUAL });
  await scene.log.has(ids.slice(-3));
});

test('a copy that is told to deliver sends all of it, and what is parked', TIMEOUT, async () => {
  await using scene = await HealingScene.set();
  const ids = await used(scene);
  await using copy = await copyOf(scene);
  await using role = await createRole(copy.database, { in: ['walpost_relay'], attributes: 'REPLICATION' });
  const database = { ...copy.database, url: role.url };
  const relay = await copy.start({ database, source: { ...AS_USUAL, existing: 'deliver' } });
  await copy.log.has([...ids, ...(await copy.publish(2))]);
  await poll('nothing is parked', async () =>
    (await copy.query('SELECT FROM walpost.parked')).length === 0 ? true : undefined,
  );
  expect(await copy.query(`SELECT state FROM walpost.jobs WHERE kind = 'replay'`)).toEqual([{ state: 'failed' }]);
  await relay.stop();
  await using again = await copy.start({ source: { ...AS_USUAL, existing: 'deliver' } });
  expect(again.lines.some((line) => line.includes('source.existing has nothing to decide'))).toBe(true);
  expect(await copy.jobs()).toMatchObject([{ state: 'done', from_lsn: null }]);
  expect(
    await scene.query(
      `SELECT count(*)::integer AS slots FROM pg_replication_slots WHERE database = current_database()`,
    ),
  ).toEqual([{ slots: 1 }]);
});

test('a copy that is served under another name is a copy all the same', TIMEOUT, async () => {
  await using scene = await HealingScene.set();
  const ids = await used(scene);
  await using copy = await copyOf(scene);
  const { slotName } = copy.database;
  await expect(copy.start()).rejects.toMatchObject({ code: 'COPIED_DATABASE' });
  await expect(copy.start({ source: { takes_over: usualSlot(scene.database.name) } })).rejects.toMatchObject({
    code: 'COPIED_DATABASE',
  });
  await using _relay = await copy.start({ source: { existing: 'deliver' } });
  await copy.log.has(ids);
  expect(await copy.query('SELECT slot FROM walpost.cursor')).toEqual([{ slot: slotName }]);
});

test(
  'a copy of a database in which no relay ever ran asks too, and one of an unused schema does not',
  TIMEOUT,
  async () => {
    await using scene = await HealingScene.set();
    await using unused = await copyOf(scene);
    const ids = await scene.publish(3);
    await using copy = await copyOf(scene);
    await expect(copy.start()).rejects.toMatchObject({ code: 'COPIED_DATABASE' });
    const relay = await copy.start({ source: { existing: 'deliver' } });
    await copy.log.has(ids);
    await relay.stop();
    await using _again = await copy.start();
    await using _unused = await unused.start();
    await unused.log.has(await unused.publish(1));
  },
);

test('rows of another cluster that were loaded into a new installation are a copy too', TIMEOUT, async () => {
  await using scene = await HealingScene.set();
  const ids = await scene.publish(2);
  await scene.query(`UPDATE walpost.outbox SET created_xid = '9000000000'`);
  await expect(scene.start()).rejects.toMatchObject({ code: 'COPIED_DATABASE' });
  await using _relay = await scene.start({ source: { existing: 'deliver' } });
  await scene.log.has(ids);
  expect(await scene.query(`SELECT FROM walpost.outbox WHERE created_xid >= '9000000000'`)).toEqual([]); // stamped anew
});

test(
  'a restore that takes the place and the name of the original is a copy; deliver sends all of it',
  TIMEOUT,
  async () => {
    await using scene = await HealingScene.set();
    const ids = await used(scene);
    await using restored = await copyOf(scene);
    const [now, then] = [scene.database.name, restored.database.name];
    await scene.publish(2); // the restore does not have these
    scene.log.clear();
    await onServer(scene.database.url, async (admin) => swap(admin, now, then));
    try {
      // Each scene is now connected to the database that has its name.
      await scene.reconnect();
      await expect(scene.start({ source: AS_USUAL })).rejects.toMatchObject({ code: 'COPIED_DATABASE' });
      expect(scene.log.events).toEqual([]);
      const relay = await scene.start({ source: { ...AS_USUAL, existing: 'deliver' } });
      ids.push(...(await scene.publish(2)));
      await scene.log.has(ids);
      expect(await scene.query('SELECT FROM walpost.parked')).toEqual([]);
      expect(await scene.query('SELECT slot FROM walpost.cursor')).toEqual([{ slot: `${usualSlot(now)}_2` }]);
      await relay.stop();
      await using _again = await scene.start({ source: AS_USUAL });
      await scene.log.has(await scene.publish(1));
    } finally {
      await onServer(scene.database.url, async (admin) => swap(admin, now, then));
      await scene.reconnect();
    }
  },
);
