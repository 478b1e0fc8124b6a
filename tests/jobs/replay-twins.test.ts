import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readJob, requestJob } from '../../src/jobs/job-rows.ts';
import { planReplay } from '../../src/jobs/replay-plan.ts';
import { parseLsn } from '../../src/lsn.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { HealingScene } from '../relay/healing-scene.ts';
import { poll } from '../support/slot-session.ts';

/** A table whose ids nothing keeps unique. */
const TABLE = `
  CREATE TABLE public.notes (id text, org text, kind text, body jsonb,
    created_xid xid8 NOT NULL DEFAULT pg_current_xact_id(), seq bigint GENERATED ALWAYS AS IDENTITY);
  CREATE PUBLICATION notes FOR TABLE public.notes WITH (publish = 'insert')`;
const ABSENT = 'event_version topic entity_type entity_id target idempotency_key headers created_at'.split(' ');
const COLUMNS = {
  ...Object.fromEntries(ABSENT.map((field) => [field, null])),
  event_id: 'id',
  organization_id: 'org',
  event_type: 'kind',
  payload: 'body',
};

let scene: HealingScene;
let pool: pg.Pool;
beforeEach(async () => {
  scene = await HealingScene.set();
  pool = createPool(scene.database.url, { applicationName: 'test', max: 2 });
  await scene.database.query(TABLE);
});
afterEach(async () => {
  await pool.end();
  await scene[Symbol.asyncDispose]();
});

async function replay(fromLsn: string): Promise<void> {
  const slot = scene.database.slotName;
  const { range } = await planReplay(pool, { slot, from: { lsn: parseLsn(fromLsn) ?? 0n } });
  const { id } = await requestJob(pool, { slot, kind: 'replay', reason: null, spec: {}, ...range });
  await poll('the replay is over', async () => ((await readJob(pool, id))?.state === 'done' ? true : undefined));
}

test('rows of a table that have one id come again each for itself, also when they have to be parked', async () => {
  const { log } = scene;
  await using _relay = await scene.start({
    source: { table: 'public.notes', publication: 'notes', columns: COLUMNS },
    config: { delivery: { park_after: '200ms', quick_retries: 0, breaker: { reset_after: '200ms' } } },
  });
  await scene.database.query(
    `INSERT INTO public.notes (id, org, kind, body) SELECT unnest('{a,a,b,a}'::text[]), 'o', 'k', '1'`,
  );
  await scene.database.query(`UPDATE public.notes SET body = to_jsonb(seq)`);
  await log.receiver.received(4);
  const lsn = String(log.events[0]?.lsn);
  log.clear();
  const take = log.receiver.onBatch;
  log.receiver.onBatch = () => 503;
  await replay(lsn);
  expect(await scene.database.query('SELECT event_id AS id FROM walpost.parked ORDER BY place')).toEqual(
    ['a', 'a', 'b', 'a'].map((id) => ({ id })),
  );
  log.receiver.onBatch = take;
  await log.receiver.received(8);
  expect(log.events.map(({ event_id, payload }) => [event_id, payload])).toEqual([
    ['a', 1],
    ['a', 2],
    ['b', 3],
    ['a', 4],
  ]);
});
