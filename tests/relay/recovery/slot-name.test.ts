import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { leaderLockKey } from '../../../src/leader/lock-key.ts';
import { usualSlot } from '../../../src/relay/starts/start-facts.ts';
import { databaseUrl, type TestDatabase } from '../../support/database.ts';
import { createRole } from '../../support/database-role.ts';
import { poll } from '../../support/slot-session.ts';
import { HealingScene } from '../healing-scene.ts';
import { newClient } from '../../support/client.ts';
import { mappedSource } from '../../support/mapped-source.ts';

const TIMEOUT = { timeout: 90_000 };

const AS_USUAL = { slot: undefined };
const MAPPED = { slot: undefined, ...mappedSource() };

/** As it is called now; the test closes its connections first. */
async function rename({ url }: TestDatabase, from: string, to: string): Promise<void> {
  const admin = newClient({ connectionString: databaseUrl(url, 'postgres') });
  await admin.connect();
  try {
    await admin.query('SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE datname = $1', [from]);
    await admin.query(`ALTER DATABASE ${from} RENAME TO ${to}`);
  } finally {
    await admin.end();
  }
}

const slots = (scene: HealingScene): Promise<unknown[]> =>
  scene.query(
    `SELECT slot_name::text AS slot FROM pg_replication_slots WHERE database = current_database() ORDER BY slot_name`,
  );

/** One event that waits for a sink which is away, and some that nobody has read; then nothing runs. */
async function leaveBehind(scene: HealingScene, source: object = {}): Promise<string[]> {
  const take = scene.log.receiver.onBatch;
  scene.log.receiver.onBatch = () => 503;
  const relay = await scene.start({ source, config: { delivery: { park_after: '100ms', quick_retries: 0 } } });
  const ids = await scene.publish(1);
  await poll('it is parked', async () =>
    (await scene.query('SELECT FROM walpost.parked')).length > 0 ? true : undefined,
  );
  await relay.stop();
  scene.log.receiver.onBatch = take;
  scene.log.clear();
  return [...ids, ...(await scene.publish(5))];
}

test('a database that was renamed goes on with its slot', TIMEOUT, async () => {
  await using scene = await HealingScene.set();
  const { name, url } = scene.database;
  const ids = await leaveBehind(scene, AS_USUAL);
  await rename(scene.database, name, `${name}_b`);
  try {
    const database = { ...scene.database, url: databaseUrl(url, `${name}_b`) };
    const relay = await scene.start({ database, source: AS_USUAL });
    await scene.log.has(ids);
    await relay.stop();
  } finally {
    await rename(scene.database, `${name}_b`, name);
  }
  await scene.reconnect();
  expect(await slots(scene)).toEqual([{ slot: usualSlot(name) }]);
  expect(await scene.jobs()).toEqual([]);
});

test('another name in source.slot is refused, and source.takes_over loses nothing', TIMEOUT, async () => {
  await using scene = await HealingScene.set();
  const old = scene.database.slotName;
  const slot = `${old}_new`;
  const ids = await leaveBehind(scene);
  await scene.query(`INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, attempts)
                     VALUES ('${old}', '1', 1, 'hook', 'failed', 'x', 1)`);
  await expect(scene.start({ source: { slot } })).rejects.toMatchObject({
    code: 'SLOT_CHANGED',
    policy: 'operator',
    remedy: expect.stringContaining(`source.takes_over: ${old}`),
  });
  expect(await slots(scene)).toEqual([{ slot: old }]);

  const source = { slot, takes_over: old };
  await using role = await createRole(scene.database, { in: ['walpost_relay'], attributes: 'REPLICATION' });
  const database = { ...scene.database, url: role.url };
  const relay = await scene.start({ database, source });
  await scene.log.has([...ids, ...(await scene.publish(2))]);
  await relay.stop();
  expect(await slots(scene)).toEqual([{ slot }]);
  const [tables] = await scene.database.query<{ names: string[] }>(
    `SELECT array_agg(c.relname::text) AS names FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
      WHERE c.relnamespace = 'walpost'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'slot'`,
  );
  expect(tables?.names).toEqual(expect.arrayContaining(['cursor', 'parked', 'jobs', 'checkpoints', 'delivery_log']));
  for (const table of tables?.names ?? []) {
    expect(await scene.query(`SELECT '${table}' FROM walpost.${table} WHERE slot = '${old}'`)).toEqual([]);
  }
  expect(await scene.query('SELECT slot FROM walpost.dead_letters')).toEqual([{ slot }]);

  scene.log.clear();
  await using _again = await scene.start({ source });
  await scene.log.has(await scene.publish(1));
  expect(scene.log.events).toHaveLength(1);
});

test('killed after the move, the next start goes on with it and drops the old slot', TIMEOUT, async () => {
  await using scene = await HealingScene.set();
  const old = scene.database.slotName;
  const ids = await leaveBehind(scene);
  const slot = `${old}_new`;
  await scene.query(`
    UPDATE walpost.cursor SET slot = '${slot}', former_slot = '${old}';
    UPDATE walpost.parked SET slot = '${slot}'; UPDATE walpost.checkpoints SET slot = '${slot}';
    INSERT INTO walpost.jobs (slot, kind, reason) VALUES ('${slot}', 'heal', 'It takes over.')`);
  await using _relay = await scene.start({ source: { slot, takes_over: old } });
  await scene.log.has(ids);
  expect(await slots(scene)).toEqual([{ slot }]);
  expect(await scene.query('SELECT former_slot FROM walpost.cursor')).toEqual([{ former_slot: null }]);
});

test(
  'a take-over from a first start that did not get far decides about the rows like a first start',
  TIMEOUT,
  async () => {
    await using scene = await HealingScene.set();
    const old = scene.database.slotName;
    const slot = `${old}_new`;
    await scene.publish(3);
    await scene.createSlot();
    await scene.query(`INSERT INTO walpost.cursor (slot, epoch, system_identifier, timeline, source_table, publication)
    SELECT '${old}', 1, system_identifier::text, 1, 'walpost.outbox', 'walpost' FROM pg_control_system()`);
    await using _relay = await scene.start({ source: { slot, takes_over: old, existing: 'skip' } });
    await scene.log.has(await scene.publish(1));
    expect(scene.log.events).toHaveLength(1);
    expect(await scene.jobs()).toEqual([]);
    expect(await slots(scene)).toEqual([{ slot }]);
  },
);

test('rows that were left under the new name do not stop a take-over', TIMEOUT, async () => {
  await using scene = await HealingScene.set();
  const old = scene.database.slotName;
  const slot = `${old}_new`;
  const ids = await leaveBehind(scene);
  await scene.query(`
    INSERT INTO walpost.jobs (slot, kind, reason) VALUES ('${slot}', 'heal', 'left'), ('${old}', 'heal', 'wanted');
    INSERT INTO walpost.lanes (slot, sink, organization_id, lane, state)
    SELECT name, 'hook', '${randomUUID()}', '', 'failing' FROM (VALUES ('${old}'), ('${slot}')) AS both_names (name)`);
  await using _relay = await scene.start({ source: { slot, takes_over: old } });
  await scene.log.has(ids);
  expect(await scene.jobs()).toMatchObject([{ state: 'cancelled' }, { state: 'done' }]);
});

test('a process that loses its lock while it waits for the old slot queues for it again', TIMEOUT, async () => {
  await using scene = await HealingScene.set();
  const old = scene.database.slotName;
  const slot = `${old}_new`;
  const first = await scene.start();
  await using second = scene.make({ source: { slot, takes_over: old } });
  await poll('it stands by', async () => (second.service.readiness().role === 'standby' ? true : undefined));
  const key = String(leaderLockKey(slot));
  const holder = async (): Promise<number | undefined> => {
    const rows = await scene.database.query<{ pid: number }>(
      `SELECT pid FROM pg_locks WHERE locktype = 'advisory' AND granted AND objsubid = 1
          AND (classid::bigint << 32) | objid::bigint = $1::bigint`,
      [key],
    );
    return rows[0]?.pid;
  };
  const held = await poll('it has the new name', holder);
  await scene.query(`SELECT pg_terminate_backend(${held}, 5000)`);
  await poll('it has it again', async () => {
    const now = await holder();
    return now !== undefined && now !== held ? true : undefined;
  });
  await first.stop();
  await second.streams();
  await scene.log.has(await scene.publish(1));
});

test('a relay that still runs under the old name is waited for', TIMEOUT, async () => {
  await using scene = await HealingScene.set();
  const old = scene.database.slotName;
  const slot = `${old}_new`;
  const first = await scene.start();
  await using second = scene.make({ source: { slot, takes_over: old } });
  await poll('it stands by', async () => (second.service.readiness().role === 'standby' ? true : undefined));
  await scene.log.has(await scene.publish(1));
  expect(await slots(scene)).toEqual([{ slot: old }]);
  await first.stop();
  await second.streams();
  await scene.log.has(await scene.publish(1));
  expect(await slots(scene)).toEqual([{ slot }]);
});

test(
  'a second relay, of a mapped table, gets a name of its own and takes nothing from the first',
  TIMEOUT,
  async () => {
    await using scene = await HealingScene.set();
    const usual = usualSlot(scene.database.name);
    await scene.query('CREATE SCHEMA shop; CREATE TABLE shop.outbox (id uuid, org uuid, kind text, body json)');
    const ids = await leaveBehind(scene, AS_USUAL);
    await expect(scene.start({ source: { ...MAPPED, slot: usual } })).rejects.toMatchObject({
      code: 'SLOT_OTHER_SOURCE',
    });
    await using second = await scene.start({ source: MAPPED });
    expect(await slots(scene)).toEqual([{ slot: usual }, { slot: `${usual}_2` }]);
    expect(second.lines.some((line) => line.includes('nobody reads from another slot') && line.includes(usual))).toBe(
      true,
    );
    await using _first = await scene.start({ source: AS_USUAL });
    const [row] = await scene.database.query<{ id: string }>(
      `INSERT INTO shop.outbox VALUES (gen_random_uuid(), $1, 'sold', '{}') RETURNING id::text`,
      [randomUUID()],
    );
    await scene.log.has([...ids, row?.id ?? '']);
  },
);

test('a table and a publication that were renamed keep their slot', TIMEOUT, async () => {
  await using scene = await HealingScene.set();
  await scene.query(`CREATE SCHEMA shop;
    CREATE TABLE shop.outbox (id uuid, org uuid, kind text, body json,
      created_xid xid8 NOT NULL DEFAULT pg_current_xact_id(), seq bigint GENERATED ALWAYS AS IDENTITY)`);
  const write = async (table: string): Promise<string> => {
    const [row] = await scene.database.query<{ id: string }>(
      `INSERT INTO shop.${table} (id, org, kind, body) VALUES (gen_random_uuid(), gen_random_uuid(), 'sold', '{}') RETURNING id::text`,
    );
    return row?.id ?? '';
  };
  const relay = await scene.start({ source: MAPPED });
  const ids = [await write('outbox')];
  await scene.log.has(ids);
  await relay.stop();
  ids.push(await write('outbox'));
  await scene.query('ALTER TABLE shop.outbox RENAME TO events');
  ids.push(await write('events'));
  const renamed = await scene.start({ source: { ...MAPPED, table: 'shop.events' } });
  await scene.log.has(ids);
  await renamed.stop();
  await scene.query('ALTER PUBLICATION shop RENAME TO shop_events');
  ids.push(await write('events'));
  await using _last = await scene.start({ source: { ...MAPPED, table: 'shop.events', publication: 'shop_events' } });
  await scene.log.has(ids);
  expect(await slots(scene)).toHaveLength(1);
});

test('what the documentation removes of a slot that is gone is all that is kept for it', async () => {
  const text = await readFile('docs/operations.md', 'utf8');
  const named = [...text.matchAll(/^DELETE FROM walpost\.(\w+) WHERE slot = 'walpost_old';$/gm)].map(
    (match) => match[1],
  );
  await using scene = await HealingScene.set();
  const kept = await scene.database.query<{ name: string }>(
    `SELECT c.relname::text AS name FROM pg_attribute AS a JOIN pg_class AS c ON c.oid = a.attrelid
      WHERE c.relnamespace = 'walpost'::regnamespace AND c.relkind IN ('r', 'p') AND a.attname = 'slot'
        AND NOT a.attisdropped`,
  );
  expect(new Set(named)).toEqual(new Set(kept.map(({ name }) => name)));
});
