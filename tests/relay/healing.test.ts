import { expect, test } from 'vitest';
import { parseLsn } from '../../src/lsn.ts';
import type { RelayInProcessOptions } from '../support/relay-in-process.ts';
import { startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';
import { HealingScene } from './healing-scene.ts';

const lsn = (text: string | null | undefined): bigint => parseLsn(text ?? '') ?? -1n;

/** Five events that are proven, and a relay that ended in good order. */
async function settled(scene: HealingScene, more: Partial<RelayInProcessOptions> = {}): Promise<string[]> {
  const relay = await scene.start(more);
  const ids = await scene.publish(5);
  await scene.log.has(ids);
  await scene.proven(ids);
  await scene.log.has(ids);
  await relay.stop();
  scene.log.clear();
  return ids;
}

test('a slot that was dropped while nobody led: what came after the last checkpoint is sent, and the stream goes on', async () => {
  await using scene = await HealingScene.set();
  const before = await settled(scene);
  const lost = await scene.publish(10);
  await scene.dropSlot();
  lost.push(...(await scene.publish(10)));
  await using relay = await scene.start();
  await scene.log.has(lost);
  const live = await scene.publish(3);
  await scene.log.has(live);

  const healed = new Map(scene.log.events.map((event) => [event.event_id, event]));
  expect(lost.every((id) => healed.get(id)?.lsn === null)).toBe(true);
  expect(live.every((id) => healed.get(id)?.lsn !== null)).toBe(true);
  const repeated = before.filter((id) => healed.has(id));
  expect(repeated.length).toBeLessThan(before.length);
  const [job, ...more] = await scene.jobs();
  expect(more).toEqual([]);
  expect(job).toMatchObject({ state: 'done', reason: 'The slot is missing.', settled: 20 + repeated.length });
  expect(job?.report).toMatchObject({ events: 20 + repeated.length, from_lsn: job?.from_lsn });
  expect(lsn(job?.report?.to_lsn)).toBeGreaterThan(lsn(job?.from_lsn));
  const { from_lsn, to_lsn } = job?.report ?? {};
  const told = relay.lines.map((line) => JSON.parse(line) as object);
  expect(told).toContainEqual(expect.objectContaining({ from_lsn, to_lsn, settled: 20 + repeated.length }));
  await relay.stop();
  await using again = await scene.start();
  await scene.log.has(await scene.publish(1));
  expect(await scene.jobs()).toHaveLength(1);
  await again.stop();
});

test('a slot that was dropped and made again: the gap between cursor and slot is healed', async () => {
  await using scene = await HealingScene.set();
  await settled(scene);
  const lost = await scene.publish(4);
  await scene.dropSlot();
  lost.push(...(await scene.publish(4)));
  await scene.createSlot();
  const streamed = await scene.publish(4);
  await scene.database.query(`
    CREATE TABLE public.noted (lsn pg_lsn);
    CREATE FUNCTION public.note() RETURNS trigger LANGUAGE plpgsql AS
      'BEGIN INSERT INTO public.noted SELECT lsn FROM walpost.cursor; RETURN NULL; END';
    CREATE TRIGGER note AFTER UPDATE ON walpost.jobs FOR EACH ROW WHEN (NEW.state = 'done') EXECUTE FUNCTION public.note()`);
  await using relay = await scene.start();
  await scene.log.has([...lost, ...streamed]);
  const [job] = await scene.jobs();
  expect(job?.state).toBe('done');
  expect(job?.reason).toMatch(/^The slot is at [0-9A-F/]+, and walpost has confirmed [0-9A-F/]+ at most\.$/);
  // The cursor stands at the new slot's beginning with the commit that closes the job.
  expect(await scene.database.query('SELECT lsn::text AS to_lsn FROM public.noted')).toEqual([
    { to_lsn: job?.report?.to_lsn },
  ]);
  await relay[Symbol.asyncDispose](); // cut off before anything was streamed: the healing stands
  await using again = await scene.start();
  expect(await scene.jobs()).toHaveLength(1);
  await again.stop();
});

test('a slot whose WAL the server has removed is healed', { timeout: 90_000 }, async () => {
  await using server = await startServer('17', { settings: { max_slot_wal_keep_size: '1MB' } });
  await using scene = await HealingScene.set({ server: server.url() });
  await settled(scene);
  const ids = await scene.publish(3);
  await scene.query('CREATE TABLE public.filler (text text)');
  await poll('the slot is lost', async () => {
    await scene.query(`INSERT INTO public.filler SELECT repeat(md5(n::text), 100) FROM generate_series(1, 2000) AS n`);
    await scene.query('SELECT pg_switch_wal()');
    await scene.query('CHECKPOINT');
    return (await scene.query(`SELECT FROM pg_replication_slots WHERE wal_status = 'lost'`)).length > 0 || undefined;
  });
  await expect(scene.start({ source: { on_slot_lost: 'stop' } })).rejects.toMatchObject({ code: 'SLOT_LOST' });
  await using _relay = await scene.start();
  await scene.log.has([...ids, ...(await scene.publish(2))]);
  expect(await scene.jobs()).toMatchObject([{ state: 'done', from_lsn: expect.any(String) as string }]);
});

test('an event without a route that a healing finds again makes no second dead letter', async () => {
  await using scene = await HealingScene.set();
  const config = { routes: [{ match: { event_type: 'thing.*' }, to: ['hook'] }] };
  const letters = (): Promise<unknown[]> =>
    scene.query(`SELECT id FROM walpost.dead_letters WHERE reason = 'unrouted'`);
  const relay = await scene.start({ config, source: { checkpoint_interval: '10m' } });
  await scene.query(`SELECT walpost.publish('${scene.organizations[0]}', 'of.nobody', '{}')`);
  await scene.log.has(await scene.publish(1));
  await poll('the dead letter', async () => (await letters()).length > 0 || undefined);
  const before = await letters();
  await relay.stop();
  for (const loses of ['SELECT', "UPDATE walpost.cursor SET lsn = 'FF/0'"]) {
    await scene.query(loses); // from the checkpoint, then from nothing
    await scene.dropSlot();
    const healed = await scene.start({ config, source: { checkpoint_interval: '10m' } });
    await healed.stop();
    expect(
      await scene.query(`SELECT report -> 'unrouted' AS unrouted FROM walpost.jobs ORDER BY id DESC LIMIT 1`),
    ).toEqual([{ unrouted: 1 }]); // it did find it
    expect(await letters()).toEqual(before);
  }
});

test('a sink that is away holds up neither the healing nor the stream behind it', async () => {
  await using scene = await HealingScene.set();
  const away = scene.log.receiver.sink({ url: 'http://127.0.0.1:1/away' });
  const more = { sinks: { hook: scene.log.receiver.sink(), away }, config: { delivery: { park_after: '1s' } } };
  await (await scene.start({ sinks: more.sinks })).stop();
  const lost = await scene.publish(10);
  await scene.dropSlot();
  await using relay = await scene.start(more);
  await scene.log.has(lost);
  await scene.log.has(await scene.publish(3));
  expect(await scene.jobs()).toMatchObject([{ state: 'done' }]);
  const parked = 'SELECT event_id, organization_id FROM walpost.parked ORDER BY order_lsn, order_job, place';
  const rows = await poll('all that was lost is parked', async () => {
    const found = await scene.database.query<{ event_id: string; organization_id: string }>(parked);
    return found.length >= lost.length ? found : undefined;
  });
  scene.organizations.forEach((organization, number) => {
    const own = rows.filter((row) => row.organization_id === organization && lost.includes(row.event_id));
    expect(own.map((row) => row.event_id)).toEqual(lost.filter((_id, index) => index % 3 === number));
  });
  await relay.stop();
});

test('a slot that is dropped while the relay streams', async () => {
  await using scene = await HealingScene.set();
  await using relay = await scene.start();
  const ids = await scene.publish(5);
  await scene.log.has(ids);
  await scene.database.query(
    'SELECT pg_terminate_backend(active_pid, 5000) FROM pg_replication_slots WHERE slot_name = $1',
    [scene.database.slotName],
  );
  await scene.dropSlot();
  ids.push(...(await scene.publish(20)));
  await scene.log.has(ids);
  await relay.streams();
  ids.push(...(await scene.publish(5)));
  await scene.log.has(ids);
  expect(await scene.jobs()).toMatchObject([{ state: 'done', reason: 'The slot is missing.' }]);
  const { slotName: slot } = scene.database;
  const told = relay.lines.map((line) => JSON.parse(line) as object).filter((line) => 'job' in line);
  expect(told).toEqual([
    expect.objectContaining({ slot, reason: 'The slot is missing.', msg: expect.stringContaining('healing: what') }),
    expect.objectContaining({ slot, settled: expect.any(Number), msg: 'healed: the stream goes on from here' }),
  ]);
});

test('healing and replay work with no more rights than those of walpost_relay', async () => {
  await using scene = await HealingScene.set();
  const role = `r_${scene.database.name}`;
  await scene.database.query(`CREATE ROLE ${role} LOGIN REPLICATION PASSWORD 'relay' IN ROLE walpost_relay`);
  try {
    const url = new URL(scene.database.url);
    [url.username, url.password] = [role, 'relay'];
    const database = { ...scene.database, url: url.href };
    const ids = await settled(scene, { database });
    ids.push(...(await scene.publish(5)));
    await scene.dropSlot();
    await using relay = await scene.start({ database });
    await scene.log.has(ids.slice(-5));
    expect(await scene.jobs()).toMatchObject([{ state: 'done' }]);
    await scene.database.query("INSERT INTO walpost.jobs (slot, kind) SELECT slot, 'replay' FROM walpost.cursor");
    await scene.log.has(ids);
    await relay.stop();
  } finally {
    await scene.database.query(`DROP OWNED BY ${role}; DROP ROLE ${role}`);
  }
});

test('a healthy slot that the relay left is streamed from, whatever was committed meanwhile', async () => {
  await using scene = await HealingScene.set();
  await settled(scene);
  const ids = await scene.publish(5);
  await using _relay = await scene.start();
  await scene.log.has(ids);
  expect(scene.log.events.every((event) => event.lsn !== null)).toBe(true);
  expect(await scene.jobs()).toEqual([]);
});

test('with on_slot_lost: stop the relay ends with the condition, and touches nothing', async () => {
  await using scene = await HealingScene.set();
  await settled(scene);
  await scene.dropSlot();
  await expect(scene.start({ source: { on_slot_lost: 'stop' } })).rejects.toMatchObject({ code: 'SLOT_LOST' });
  await scene.createSlot();
  await expect(scene.start({ source: { on_slot_lost: 'stop' } })).rejects.toMatchObject({ code: 'SLOT_REPLACED' });
  expect(await scene.slotExists()).toBe(true);
  expect(await scene.jobs()).toEqual([]);
});

test.each([['an earlier point', 'CURSOR_AHEAD', "UPDATE walpost.cursor SET lsn = 'FF/0'"]])(
  'restored into %s: nothing is proven, everything is sent',
  async (_name, code, restore) => {
    await using scene = await HealingScene.set();
    const ids = await settled(scene);
    await scene.database.query(restore);
    await expect(scene.start({ source: { on_slot_lost: 'stop' } })).rejects.toMatchObject({ code });
    await using _relay = await scene.start();
    await scene.log.has(ids);
    expect(await scene.jobs()).toMatchObject([{ state: 'done', from_lsn: null }]);
    const [cursor] = await scene.database.query(
      'SELECT history, lsn <= pg_current_wal_lsn() AS past FROM walpost.cursor',
    );
    expect(cursor).toEqual({ history: 1, past: true });
    const checkpoints = await scene.database.query(
      `SELECT DISTINCT c.system_identifier = k.system_identifier AS same FROM walpost.checkpoints c JOIN walpost.cursor k USING (slot)`,
    );
    expect(checkpoints).toEqual([{ same: true }]);
  },
);

test('the slot of another database is left alone', async () => {
  await using other = await HealingScene.set();
  await using scene = await HealingScene.set();
  await other.createSlot();
  const stolen = scene.start({ source: { slot: other.database.slotName } });
  await expect(stolen).rejects.toMatchObject({ code: 'SLOT_OTHER_DATABASE' });
  expect(await other.slotExists()).toBe(true);
  expect(await scene.jobs()).toEqual([]);
});

test('a missing publication is an error of its own, and heals nothing', async () => {
  await using scene = await HealingScene.set();
  await settled(scene);
  await scene.database.query('DROP PUBLICATION walpost');
  await scene.dropSlot();
  await expect(scene.start()).rejects.toMatchObject({ code: 'PUBLICATION_MISSING' });
  expect(await scene.slotExists()).toBe(false);
  expect(await scene.jobs()).toEqual([]);
});

test('a first start with existing: skip leaves the rows that are there, and its checkpoint says so', async () => {
  await using scene = await HealingScene.set();
  const old = await scene.publish(5);
  const relay = await scene.start({ source: { existing: 'skip' } });
  const ids = await scene.publish(5);
  await scene.log.has(ids);
  expect(scene.log.missing(old)).toEqual(old);
  const rows = await scene.database.query<{ event_id: string }>(
    'SELECT event_id FROM walpost.outbox WHERE walpost.is_proven(created_xid) ORDER BY seq LIMIT 5',
  );
  expect(rows.map(({ event_id }) => event_id)).toEqual(old);
  await relay.stop();
  await scene.dropSlot();
  await using _again = await scene.start();
  expect(scene.log.missing(old)).toEqual(old);
});

test('a first start sends the rows that are there, before what is streamed', async () => {
  await using scene = await HealingScene.set();
  const old = await scene.publish(5);
  await using _relay = await scene.start();
  const ids = await scene.publish(5);
  await scene.log.has([...old, ...ids]);
  const order = scene.log.events.map(({ event_id }) => event_id);
  expect(new Set(order.slice(0, 5))).toEqual(new Set(old));
  expect(await scene.jobs()).toMatchObject([{ state: 'done', from_lsn: null, settled: 5 }]);
});
