import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { JobSpec } from '../../src/jobs/job.ts';
import { cancelJob, readJob, requestJob } from '../../src/jobs/job-rows.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { HealingScene } from '../relay/healing-scene.ts';
import { poll } from '../support/slot-session.ts';

let scene: HealingScene;
let pool: pg.Pool;
beforeEach(async () => {
  scene = await HealingScene.set();
  pool = createPool(scene.database.url, { applicationName: 'test', max: 2 });
});
afterEach(async () => {
  await pool.end();
  await scene[Symbol.asyncDispose]();
});

const letters = () =>
  scene.database.query<{ event_id: string; sink: string | null; reason: string }>(
    'SELECT event_id, sink, reason FROM walpost.dead_letters ORDER BY id',
  );

async function redrive(spec: JobSpec = {}): Promise<number> {
  const nothing = { fromLsn: null, afterSnapshot: null, beforeXid: null };
  const { id } = await requestJob(pool, {
    slot: scene.database.slotName,
    kind: 'redrive',
    reason: null,
    spec,
    ...nothing,
  });
  const job = await poll('the job is over', async () => {
    const now = await readJob(pool, id);
    return now?.state === 'done' ? now : undefined;
  });
  return job.settled;
}

test('dead letters that are delivered now are gone, exactly as they were', async () => {
  await using _relay = await scene.start({ config: { delivery: { max_attempts: 1, quick_retries: 0 } } });
  const good = await scene.publish(1); // the destination accepts others: what it refuses is the event's own
  await scene.log.has(good);
  const keep = scene.log.receiver.onBatch;
  scene.log.receiver.onBatch = ({ events }, body) =>
    events.some(({ event_type }) => event_type === 'bad')
      ? 400
      : keep({ events, organization_id: '', attempt: 1 }, body);
  const [bad] = await scene.database.query<{ id: string }>(
    `SELECT walpost.publish($1, 'bad', '{"n": 12345678901234567890, "d": 1.50}', headers => '{"a": "ä"}')::text AS id`,
    [scene.organizations[0]],
  );
  const more = await scene.publish(6);
  await scene.log.has(more);
  await poll('it is a dead letter', async () => ((await letters()).length === 1 ? true : undefined), 20_000);
  let over = false;
  const again = redrive().finally(() => (over = true));
  while (!over) await scene.publish(5); // others are accepted meanwhile
  expect(await again).toBe(1); // still refused: it waits, or a new letter has taken the place of the old one
  await poll(
    'a new letter',
    async () => {
      await scene.publish(5); // it may have been parked, and its next refusals wait for others to be accepted
      return (await letters()).length === 1 ? true : undefined;
    },
    20_000,
  );
  expect(await letters()).toMatchObject([{ event_id: bad?.id, sink: 'hook' }]);
  scene.log.receiver.onBatch = keep;
  expect(await redrive({ eventIds: [bad?.id ?? ''] })).toBe(1);
  await scene.log.has([bad?.id ?? '']);
  expect(await letters()).toEqual([]);
  const sent = scene.log.events.find(({ event_id }) => event_id === bad?.id);
  expect(sent).toMatchObject({ event_type: 'bad', lsn: null, headers: { a: 'ä' } });
});

const letter = (sink: string | null, reason: string, type: string) =>
  scene.database.query(
    `INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, attempts, event_id,
         organization_id, event_type, event_version, topic, payload, headers, poison_row)
       SELECT slot, system_identifier, epoch, $1, $2, '', 1, gen_random_uuid()::text, $3, $4, 1, 'default', '{}', '{}',
              CASE WHEN $2 = 'poison' THEN '{}' END FROM walpost.cursor`,
    [sink, reason, scene.organizations[0], type],
  );

test('letters that came after the job was asked for are left alone', async () => {
  const relay = await scene.start();
  await letter('hook', 'failed', 'before');
  await relay.stop();
  const nothing = { fromLsn: null, afterSnapshot: null, beforeXid: null };
  await requestJob(pool, { slot: scene.database.slotName, kind: 'redrive', reason: null, spec: {}, ...nothing });
  await letter('hook', 'failed', 'after');
  await using _next = await scene.start();
  await poll(
    'the job is over',
    async () => (await scene.database.query("SELECT FROM walpost.jobs WHERE state = 'done'"))[0],
  );
  expect(scene.log.events.map(({ event_type }) => event_type)).toEqual(['before']);
  expect(await letters()).toHaveLength(1);
});

test('only the letters that are asked for, to the sinks that they were meant for', async () => {
  await using _relay = await scene.start();
  await letter('hook', 'rejected', 'a');
  await letter('hook', 'failed', 'b');
  await letter('gone', 'failed', 'c');
  await letter(null, 'unrouted', 'd');
  await letter(null, 'poison', 'e');
  const types = () => scene.log.events.map(({ event_type }) => event_type);
  expect(await redrive({ reason: 'rejected' })).toBe(1);
  expect(types()).toEqual(['a']);
  expect(await redrive({ sinks: ['hook'] })).toBe(1);
  expect(types()).toEqual(['a', 'b']);
  expect(await redrive()).toBe(1); // the letter of a sink that is gone stays, and so does a poison
  expect(types()).toEqual(['a', 'b', 'd']);
  expect((await letters()).map(({ sink, reason }) => [sink, reason])).toEqual([
    ['gone', 'failed'],
    [null, 'poison'],
  ]);
});

test('a redrive that is cancelled leaves no letter whose event was delivered', async () => {
  await using _relay = await scene.start();
  await scene.log.has(await scene.publish(1));
  for (const type of ['a', 'b', 'c']) await letter('hook', 'failed', type);
  await scene.query('UPDATE walpost.dead_letters SET organization_id = gen_random_uuid()'); // none waits behind another
  let open: () => void = () => undefined;
  const gate = new Promise<void>((resolve) => (open = resolve));
  const types: string[] = [];
  scene.log.receiver.onBatch = async ({ events }) => {
    types.push(...events.map(({ event_type }) => event_type));
    await gate;
  };
  const spec = { rate: 1 }; // a page of one letter
  const nothing = { fromLsn: null, afterSnapshot: null, beforeXid: null };
  const { id } = await requestJob(pool, {
    slot: scene.database.slotName,
    kind: 'redrive',
    reason: null,
    spec,
    ...nothing,
  });
  await poll('two pages are out', async () => (types.includes('b') ? true : undefined));
  await cancelJob(pool, id);
  open();
  await poll('what was sent is gone', async () => ((await letters()).length === 1 ? true : undefined));
  expect(types).toEqual(['a', 'b']);
});
