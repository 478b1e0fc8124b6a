/** What a receiver is told about where an event was read, and whether an operator has asked for it again. */
import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { Job, JobKind } from '../../src/jobs/job.ts';
import { jobName } from '../../src/jobs/job.ts';
import { readJob, requestJob } from '../../src/jobs/job-rows.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { poll } from '../support/slot-session.ts';
import type { RelayInProcess } from '../support/relay-in-process.ts';
import { HealingScene } from './healing-scene.ts';

let scene: HealingScene;
let pool: pg.Pool;
beforeEach(async () => {
  scene = await HealingScene.set();
  pool = createPool(scene.database.url, { applicationName: 'test', max: 1 });
});
afterEach(async () => {
  await pool.end();
  await scene[Symbol.asyncDispose]();
});

const QUICK = { delivery: { quick_retries: 0, park_after: '100ms', max_attempts: 1 } };

/** What the receiver was told of these events, in the order of their arrival. */
function told(ids: readonly string[]): unknown[] {
  const events = scene.log.events as readonly { event_id: string; source?: unknown; replay?: unknown }[];
  return events.filter(({ event_id }) => ids.includes(event_id)).map(({ source, replay }) => [source, replay]);
}

async function arrived(ids: readonly string[]): Promise<unknown[]> {
  await scene.log.has(ids);
  return told(ids);
}

async function run(kind: JobKind, reason: string | null = null): Promise<Job> {
  const all = { fromLsn: null, afterSnapshot: null, beforeXid: null };
  const { id } = await requestJob(pool, { slot: scene.database.slotName, kind, reason, spec: {}, ...all });
  return poll(`the ${kind} is over`, async () => {
    const job = await readJob(pool, id);
    return job?.state === 'done' ? job : undefined;
  });
}

/** The destination answers with this until the result is called. */
function answering(status: number): () => void {
  const { receiver } = scene.log;
  const keep = receiver.onBatch;
  receiver.onBatch = () => status;
  return () => (receiver.onBatch = keep);
}

const lines = (relay: RelayInProcess, text: string) => relay.lines.filter((line) => line.includes(text));

test('a first start and a healing read the table, and neither is a replay; what is live comes from the stream', async () => {
  const waiting = await scene.publish(1);
  {
    await using _relay = await scene.start();
    expect(await arrived(waiting)).toEqual([['table', null]]);
    expect(await arrived(await scene.publish(1))).toEqual([['stream', null]]);
  }
  await scene.dropSlot();
  const missed = await scene.publish(1);
  await using _relay = await scene.start();
  expect(await arrived(missed)).toEqual([['table', null]]);
});

test('a redrive is no replay', async () => {
  await using _relay = await scene.start({ config: { delivery: { max_attempts: 1, quick_retries: 0 } } });
  await scene.log.has(await scene.publish(1)); // the destination accepts others: what it refuses is the event's own
  const keep = scene.log.receiver.onBatch;
  scene.log.receiver.onBatch = (batch, body) =>
    batch.events.some(({ event_type }) => event_type === 'bad') ? 400 : keep(batch, body);
  const [bad] = await scene.database.query<{ id: string }>(`SELECT walpost.publish($1, 'bad', '{}')::text AS id`, [
    scene.organizations[0],
  ]);
  await scene.log.has(await scene.publish(6));
  await poll(
    'it is a dead letter',
    async () => (await scene.database.query('SELECT FROM walpost.dead_letters')).length > 0 || undefined,
    20_000,
  );
  scene.log.receiver.onBatch = keep;
  await run('redrive');
  expect(await arrived([bad?.id ?? ''])).toEqual([['table', null]]);
});

test('a replay says its name, and says it still when its events were parked first, also after a restart', async () => {
  const relay = await scene.start({ config: QUICK });
  const ids = await scene.publish(3);
  await scene.log.has(ids);
  const named = jobName(await run('replay'));
  expect(named).toMatch(/^replay-\d+$/);
  expect(told(ids).slice(3)).toEqual(ids.map(() => ['table', named]));
  scene.log.clear();
  const up = answering(503);
  const live = await scene.publish(1);
  const later = jobName(await run('replay')); // done, since everything of it is parked
  await relay.stop();
  expect((await scene.database.query('SELECT FROM walpost.parked')).length).toBeGreaterThanOrEqual(4);
  up();
  await using _next = await scene.start({ config: QUICK });
  await scene.log.has([...ids, ...live]);
  expect(told(ids)).toEqual(ids.map(() => ['table', later]));
  expect(told(live)).toContainEqual(['stream', null]);
  expect(lines(relay, later).length).toBeGreaterThan(0);
});

test('what the relay reads again by itself is no replay', async () => {
  await using relay = await scene.start();
  await scene.log.has(await scene.publish(1));
  await poll('the source is recorded', async () => {
    const [row] = await scene.database.query<{ source: string | null }>('SELECT source FROM walpost.cursor');
    return row?.source ?? undefined;
  });
  const publish = `SELECT walpost.publish('${scene.organizations[0]}', 'missed', '{}')::text AS id`;
  const [drop, add] = ['DROP', 'ADD'].map((what) => `ALTER PUBLICATION walpost ${what} TABLE walpost.outbox`);
  const results = await (await scene.database.client()).query(`${drop}; ${publish}; ${add}`);
  const id = (results as unknown as pg.QueryResult<{ id: string }>[])[1]?.rows[0]?.id ?? '';
  expect(await arrived([id])).toEqual([['table', null]]);
  expect(lines(relay, 'repair-').length).toBeGreaterThan(0);
});
