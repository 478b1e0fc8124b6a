import { expect, test } from 'vitest';
import { messageOf } from '../../src/errors.ts';
import { EventLog } from '../support/event-log.ts';
import type { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';
import { FailoverServers, position } from './failover-servers.ts';
import { HealingScene } from './healing-scene.ts';

const TIMEOUT = 240_000;
const DELIVERY = { delivery: { park_after: '3s', timeout: '20s' } };
/** Nothing else is to be written. */
const QUIET = { checkpoint_interval: '10m' };

function signal(): { promise: Promise<void>; resolve: () => void } {
  let resolve = (): void => undefined;
  const promise = new Promise<void>((done) => (resolve = done));
  return { promise, resolve };
}

interface Hold {
  /** Resolves when there is something to hold. */
  readonly begun: Promise<void>;
  release(): void;
  takeAgain(): void;
}

/** Two sinks hold what they get until it is let go: the first then takes it, the second refuses it. */
function hold(first: EventLog, second: EventLog): Hold {
  const { promise: held, resolve: release } = signal();
  const { promise: begun, resolve: begin } = signal();
  const [take, takeSecond] = [first.receiver.onBatch, second.receiver.onBatch];
  first.receiver.onBatch = async (batch, body) => {
    begin();
    await held;
    return take(batch, body);
  };
  second.receiver.onBatch = () => held.then(() => 503);
  const takeAgain = (): void => {
    for (const log of [first, second]) log.clear();
    second.receiver.onBatch = takeSecond;
  };
  return { begun, release, takeAgain };
}

function start(scene: HealingScene, second: EventLog, source: object = {}): Promise<RelayInProcess> {
  return scene.start({ sinks: { ...scene.log.sinks, second: second.receiver.sink() }, config: DELIVERY, source });
}

/** In one transaction, which is confirmed as a whole: one position that no later one follows at once. */
async function publishTogether(scene: HealingScene, count: number): Promise<string[]> {
  const rows = await scene.database.query<{ id: string }>(
    `SELECT walpost.publish(($1::uuid[])[1 + n % 3], 'thing.made', '{}')::text AS id FROM generate_series(1, $2::integer) AS n`,
    [scene.organizations, count],
  );
  return rows.map(({ id }) => id);
}

/** Resolves when the slot has confirmed everything that is there now, and so many events are parked. */
async function confirmed(scene: HealingScene, parked: number): Promise<void> {
  const [end] = await scene.database.query<{ lsn: string }>('SELECT pg_current_wal_lsn()::text AS lsn');
  const state = `SELECT (SELECT count(*)::integer FROM walpost.parked) AS parked, confirmed_flush_lsn::text AS lsn
                   FROM pg_replication_slots WHERE slot_name = $1`;
  await poll(
    'it is parked and confirmed',
    async () => {
      const [now] = await scene.database.query<{ parked: number; lsn: string }>(state, [scene.database.slotName]);
      return (now && now.parked >= parked && position(now.lsn) > position(end?.lsn)) || undefined;
    },
    60_000,
  );
}

const codes = ({ lines }: RelayInProcess): unknown[] =>
  lines.map((line) => (JSON.parse(line) as { code?: string }).code);

test(
  'a failover to a standby that lags and has no slot: what its outbox has is all delivered',
  { timeout: TIMEOUT },
  async () => {
    await using servers = await FailoverServers.start();
    await using second = await EventLog.start();
    await using scene = await HealingScene.set({ server: servers.url });
    await using relay = await start(scene, second);
    const before = await scene.publish(5);
    for (const log of [scene.log, second]) await log.has(before);
    await scene.proven(before);

    const { release, takeAgain } = hold(scene.log, second);
    const copied = await scene.publish(10);
    await servers.catchUp();
    servers.link.hold();
    release();
    await scene.log.has(copied);
    const gone = await scene.publish(5);
    await scene.log.has(gone);
    await confirmed(scene, copied.length + gone.length);
    await servers.failOver();

    takeAgain();
    await scene.reconnect();
    await relay.streams();
    const fresh = await scene.publish(5);
    for (const log of [scene.log, second]) {
      await log.has([...copied, ...fresh]);
      expect(log.missing(gone)).toEqual(gone);
    }
    expect(await scene.jobs()).toMatchObject([{ state: 'done', reason: 'The slot is missing.' }]);
    expect(codes(relay)).toContain('SLOT_LOST');
    await relay.stop();
  },
);

test(
  'a failover that kept the slot and lost the rows behind it: the slot is ahead of the cursor',
  { timeout: TIMEOUT },
  async () => {
    await using servers = await FailoverServers.start();
    await using second = await EventLog.start();
    await using scene = await HealingScene.set({ server: servers.url });
    const { slotName } = scene.database;
    await using relay = await start(scene, second, QUIET);
    await servers.beginSync(slotName, async () => scene.log.has(await scene.publish(1)));

    const { begun, release, takeAgain } = hold(scene.log, second);
    const end = await servers.end();
    const copied = await publishTogether(scene, 9);
    await begun; // so its commit has been read
    await servers.mute(slotName);
    await servers.catchUp();
    servers.link.freeze();
    release();
    await scene.log.has(copied);
    await servers.sync(slotName, end);
    await servers.failOver();

    takeAgain();
    await scene.reconnect();
    await relay.streams();
    const fresh = await scene.publish(5);
    for (const log of [scene.log, second]) await log.has([...copied, ...fresh]);
    expect(await scene.jobs()).toMatchObject([{ state: 'done' }]);
    expect(codes(relay)).toContain('SLOT_REPLACED');
    await relay.stop();
  },
);

test('a standby that lags behind the slot gets it when it has caught up', { timeout: TIMEOUT }, async () => {
  await using servers = await FailoverServers.start();
  await using scene = await HealingScene.set({ server: servers.url });
  const { slotName } = scene.database;
  await using relay = await scene.start();
  await servers.beginSync(slotName, async () => scene.log.has(await scene.publish(1)));
  servers.link.freeze();
  const end = await servers.end();
  await scene.log.has(await scene.publish(5));
  await confirmed(scene, 0);

  const ahead = /ahead of the standby position/;
  const isAhead = () =>
    servers.askForSlots().then(
      () => undefined,
      (error: unknown) => ahead.test(messageOf(error)) || undefined,
    );
  await poll('the slot is ahead', isAhead);
  const synced = servers.sync(slotName, end);
  synced.catch(() => undefined); // told below
  for (let n = 0; n < 3; n++) await poll('the slot is ahead still', isAhead);
  servers.link.cut(); // so the standby connects again
  await synced;
  await relay.stop();
});

test(
  'a failover that kept the slot and everything behind it: the stream goes on, and nothing is healed',
  { timeout: TIMEOUT },
  async () => {
    await using servers = await FailoverServers.start();
    await using second = await EventLog.start();
    await using scene = await HealingScene.set({ server: servers.url });
    await using relay = await start(scene, second);
    await servers.beginSync(scene.database.slotName, async () => scene.log.has(await scene.publish(1)));
    const { release, takeAgain } = hold(scene.log, second);
    const copied = await scene.publish(5);
    await servers.catchUp();
    await servers.failOver();
    takeAgain();
    release();
    await scene.reconnect();
    await relay.streams();
    const fresh = await scene.publish(5);
    for (const log of [scene.log, second]) await log.has([...copied, ...fresh]);
    expect(await scene.jobs()).toEqual([]);
    expect(await scene.query('SELECT timeline FROM walpost.cursor')).toEqual([{ timeline: 2 }]);
    await relay.stop();
  },
);
