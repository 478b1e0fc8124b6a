import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Job, JobKind, JobRange } from '../../src/jobs/job.ts';
import { readJob, requestJob } from '../../src/jobs/job-rows.ts';
import { planReplay } from '../../src/jobs/replay-plan.ts';
import { parseLsn } from '../../src/lsn.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { EventReceiver } from '../e2e/event-receiver.ts';
import { HealingScene } from '../relay/healing-scene.ts';
import type { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';

const NO_RANGE: JobRange = { fromLsn: null, afterSnapshot: null, beforeXid: null };

let scene: HealingScene;
let pool: pg.Pool;
/** The destination of sink "hook"; that of sink "other" is the scene's. */
let hook: EventReceiver;
beforeEach(async () => {
  scene = await HealingScene.set();
  pool = createPool(scene.database.url, { applicationName: 'test', max: 2 });
  hook = await EventReceiver.start();
});
afterEach(async () => {
  await pool.end();
  await hook[Symbol.asyncDispose]();
  await scene[Symbol.asyncDispose]();
});

const start = (parkAfter: string): Promise<RelayInProcess> =>
  scene.start({
    sinks: { hook: hook.sink(), other: scene.log.receiver.sink() },
    config: { delivery: { on_dead_letter: 'block', park_after: parkAfter, quick_retries: 0 } },
  });

const letters = () =>
  scene.database.query<object>('SELECT event_type, reason, blocks FROM walpost.dead_letters ORDER BY id');

/** A relay that starts with lanes at "hook" that wait for a person, while that destination is away. */
async function startBlocked(parkAfter: string): Promise<RelayInProcess> {
  const first = await start(parkAfter);
  const ids = await scene.publish(3);
  await scene.log.has(ids);
  await hook.received(3);
  await first.stop();
  await scene.database.query(
    `INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, attempts, event_id,
         organization_id, event_type, event_version, topic, payload, headers, blocks)
     SELECT slot, system_identifier, epoch, 'hook', 'rejected', '', 1, gen_random_uuid()::text, $1, 'mended.' || n, 1,
            'default', '{}', '{}', true
       FROM walpost.cursor, generate_series(1, 3) AS n ORDER BY n`,
    [scene.organizations[0]],
  );
  hook.onBatch = () => 503;
  return start(parkAfter);
}

async function ask(kind: JobKind, sink: string, range = NO_RANGE): Promise<string> {
  const spec = { sinks: [sink] };
  return (await requestJob(pool, { slot: scene.database.slotName, kind, reason: null, spec, ...range })).id;
}

/** A redrive to "hook" that has met with a refusal. */
async function askAndTry(): Promise<string> {
  const before = hook.requests;
  const id = await ask('redrive', 'hook');
  await poll('it is tried', async () => (hook.requests > before ? true : undefined));
  return id;
}

const isDone = (id: string): Promise<Job> =>
  poll(`job ${id} is done`, async () => {
    const job = await readJob(pool, id);
    return job?.state === 'done' ? job : undefined;
  });

test('a redrive into a blocked lane whose sink is away ends, and a replay to another sink gets its turn', async () => {
  await using _relay = await startBlocked('500ms');
  const lsn = parseLsn(scene.log.events[0]?.lsn ?? '') ?? 0n;
  const { range } = await planReplay(pool, { slot: scene.database.slotName, from: { lsn } });
  const redrive = await askAndTry();
  scene.log.clear();
  const replay = await ask('replay', 'other', range);
  expect(await isDone(replay)).toMatchObject({ settled: 3 });
  expect(scene.log.events.length).toBe(3);
  expect(await isDone(redrive)).toMatchObject({ settled: 3 });
  const back = [1, 2, 3].map((n) => ({ event_type: `mended.${n}`, reason: 'unavailable', blocks: true }));
  expect(await letters()).toEqual(back);

  const types: string[] = [];
  hook.onBatch = ({ events }) => void types.push(...events.map(({ event_type }) => event_type));
  await isDone(await ask('redrive', 'hook'));
  expect(await letters()).toEqual([]);
  const live = await scene.publish(3);
  await scene.log.has(live);
  await poll('the lane goes on', async () => (types.length >= 6 ? true : undefined));
  expect(types.filter((type) => type !== 'thing.made')).toEqual(['mended.1', 'mended.2', 'mended.3']);
});

test('a healing does not wait for a redrive that cannot move', async () => {
  await using relay = await startBlocked('10m');
  hook.onBatch = ({ organization_id }) => (organization_id === scene.organizations[0] ? 503 : 204);
  const redrive = await askAndTry();
  await scene.database.query(
    `SELECT pg_terminate_backend(active_pid, 5000), pg_drop_replication_slot(slot_name)
       FROM pg_replication_slots WHERE slot_name = $1`,
    [scene.database.slotName],
  );
  const missed = await scene.publish(3);
  await relay.streams();
  await scene.log.has(missed);
  expect(await scene.jobs()).toMatchObject([{ state: 'done' }]);
  expect(await readJob(pool, redrive)).toMatchObject({ state: 'running' });
  expect(await letters()).toHaveLength(3);
});
