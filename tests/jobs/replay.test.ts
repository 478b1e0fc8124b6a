import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import type { WalpostError } from '../../src/errors.ts';
import { type Job } from '../../src/jobs/job.ts';
import { cancelJob, readJob, requestJob } from '../../src/jobs/job-rows.ts';
import type { JobSpec } from '../../src/jobs/job.ts';
import { countOutbox } from '../../src/jobs/outbox-count.ts';
import { planReplay, type ReplayWindow } from '../../src/jobs/replay-plan.ts';
import { formatLsn, type Lsn, parseLsn } from '../../src/lsn.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { outboxTable } from '../../src/relay/outbox-reader.ts';
import { HealingScene } from '../relay/healing-scene.ts';
import { poll } from '../support/slot-session.ts';

const SOURCE = outboxTable({ table: 'walpost.outbox', preset: 'walpost', columns: {} } as never);

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

async function ask(window: Omit<ReplayWindow, 'slot'>, spec: JobSpec = {}): Promise<{ job: Job; counted: number }> {
  const slot = scene.database.slotName;
  const { range } = await planReplay(pool, { slot, ...window });
  const { events } = await countOutbox(pool, SOURCE, {
    ...range,
    filter: spec,
    routing: { routes: [{ match: {}, to: ['hook'] }], sinks: ['hook'] },
  });
  return { job: await requestJob(pool, { slot, kind: 'replay', reason: null, spec, ...range }), counted: events };
}

async function ended(id: string): Promise<Job> {
  return poll(
    `job ${id} is over`,
    async () => {
      const job = await readJob(pool, id);
      return job && job.state !== 'queued' && job.state !== 'running' ? job : undefined;
    },
    20_000,
  );
}

/** Commit LSNs as they were streamed. */
function streamed(): Map<string, Lsn> {
  const live = scene.log.events.filter((event) => event.lsn !== null);
  return new Map(live.map((event) => [event.event_id, parseLsn(event.lsn ?? '') ?? 0n]));
}

const replayed = (): string[] => scene.log.events.filter(({ lsn }) => lsn === null).map(({ event_id }) => event_id);

/** Transactions of one to twenty events that overlap, and one that is open from the first to the last. */
async function mixedLoad(transactions: number): Promise<string[]> {
  const ids: string[] = [];
  const longest = await scene.database.client();
  const publish = async (client: pg.Client): Promise<void> => {
    const organization = scene.organizations[ids.length % 3];
    const { rows } = await client.query<{ id: string }>("SELECT walpost.publish($1, 'mixed', '{}')::text AS id", [
      organization,
    ]);
    ids.push(rows[0]?.id ?? '');
  };
  await longest.query('BEGIN');
  await publish(longest);
  const writers = await Promise.all([1, 2, 3].map(() => scene.database.client()));
  await Promise.all(
    writers.map(async (client, writer) => {
      for (let n = writer; n < transactions; n += writers.length) {
        await client.query('BEGIN');
        for (let left = 1 + ((n * 7) % 20); left > 0; left--) await publish(client);
        await client.query(n % 11 === 10 ? 'ROLLBACK' : 'COMMIT');
      }
    }),
  );
  await publish(longest);
  await longest.query('COMMIT');
  const rows = await scene.database.query<{ event_id: string }>('SELECT event_id FROM walpost.outbox');
  return rows.map(({ event_id }) => event_id);
}

test('from a random position: every event that was committed there or later comes again, and the count was right', async () => {
  await using _relay = await scene.start();
  const ids = await mixedLoad(120);
  await scene.log.has(ids);
  await scene.proven(ids);
  await scene.log.has(ids);
  const commits = streamed();
  expect(commits.size).toBeGreaterThan(500);
  const lsns = [...new Set(commits.values())].toSorted((a, b) => (a < b ? -1 : 1));
  const first = lsns[0] ?? 0n;
  for (const place of [0, 0.2, 0.5, 0.8, 0.99]) {
    const lsn = (lsns[Math.floor(place * (lsns.length - 1))] ?? first) + BigInt(Math.round(place * 3));
    scene.log.clear();
    const { job, counted } = await ask({ from: { lsn } });
    const done = await ended(job.id);
    expect(done).toMatchObject({ state: 'done', settled: counted });
    expect(JSON.parse(done.report ?? '{}')).toMatchObject({ from_lsn: formatLsn(lsn), events: counted });
    const again = new Set(replayed());
    expect(again.size).toBe(counted);
    const due = [...commits].filter(([, commit]) => commit >= lsn).map(([id]) => id);
    expect(due.filter((id) => !again.has(id))).toEqual([]);
  }
});

test('the end is as careful: nothing that was committed by then is left out', async () => {
  await using _relay = await scene.start();
  const ids = await mixedLoad(60);
  await scene.log.has(ids);
  await scene.proven(ids);
  const middle = [...streamed().values()].toSorted((a, b) => (a < b ? -1 : 1))[Math.floor(ids.length / 2)] ?? 0n;
  const late = await scene.publish(20);
  await scene.log.has([...ids, ...late]);
  await scene.proven(late);
  await scene.log.has(late);
  const after = await scene.publish(5);
  await scene.log.has(after);
  const commits = streamed();
  scene.log.clear();
  const lowest = [...commits.values()].reduce((a, b) => (a < b ? a : b));
  const { job } = await ask({ from: { lsn: lowest }, to: { lsn: middle } });
  await ended(job.id);
  const again = new Set(replayed());
  expect([...commits].filter(([id, commit]) => commit <= middle && !again.has(id))).toEqual([]);
  expect(after.filter((id) => again.has(id))).toEqual([]);
});

test('everything there is comes again, also what is older than every checkpoint', async () => {
  const before = await scene.publish(3);
  await using _relay = await scene.start();
  await scene.log.has(before);
  await expect(ask({ from: { lsn: 1n } })).rejects.toMatchObject({
    remedy: expect.stringMatching(/or --all, for every row that there is\.$/) as string,
  });
  scene.log.clear();
  const { job, counted } = await ask({ from: 'everything' });
  expect(counted).toBe(3);
  expect(await ended(job.id)).toMatchObject({ state: 'done', settled: 3, fromLsn: null });
  expect(new Set(replayed())).toEqual(new Set(before));
});

test('a count names ten, and how many more there are', async () => {
  await scene.database.query(
    "SELECT walpost.publish(gen_random_uuid(), 'type.' || n % 11, '{}') FROM generate_series(1, 38) AS n",
  );
  const routing = { routes: [{ match: {}, to: ['hook'] }], sinks: ['hook'] };
  const count = await countOutbox(pool, SOURCE, { afterSnapshot: null, beforeXid: null, filter: {}, routing });
  expect(count).toMatchObject({ events: 38, moreOrganizations: 28, moreEventTypes: 1 });
  expect([count.organizations.length, count.eventTypes.length]).toEqual([10, 10]);
});

test('an older position is refused with the oldest that works', async () => {
  await using _relay = await scene.start();
  const ids = await scene.publish(3);
  await scene.log.has(ids);
  const refusal = ask({ from: { lsn: 1n } });
  await expect(refusal).rejects.toMatchObject({ code: 'REPLAY_RANGE' });
  const remedy = await refusal.catch((error: WalpostError) => error.remedy);
  const oldest = parseLsn(/--from-lsn (\S+?),/.exec(typeof remedy === 'string' ? remedy : '')?.[1] ?? '') ?? 0n;
  expect(oldest).toBeGreaterThan(0n);
  const { job } = await ask({ from: { lsn: oldest } });
  expect(await ended(job.id)).toMatchObject({ state: 'done', settled: 3 });
  await expect(ask({ from: { time: new Date(0) } })).rejects.toMatchObject({ code: 'REPLAY_RANGE' });
});

test('filters: organization, type, topic, event id, sink', async () => {
  const both = {
    one: scene.log.receiver.sink({ url: `http://127.0.0.1:${scene.log.receiver.port}/one` }),
    two: scene.log.receiver.sink(),
  };
  await using _relay = await scene.start({ sinks: both });
  const ids = await scene.publish(9);
  const odd = await scene.database.query<{ id: string }>(
    "SELECT walpost.publish($1, 'thing_made', '{}', topic => 'odd')::text AS id FROM generate_series(1, 2)",
    [scene.organizations[0]],
  );
  await scene.log.has([...ids, ...odd.map(({ id }) => id)]);
  const from = { lsn: [...streamed().values()].reduce((a, b) => (a < b ? a : b)) };
  const sent = async (spec: JobSpec): Promise<number> => {
    scene.log.clear();
    const { job, counted } = await ask({ from }, spec);
    expect(await ended(job.id)).toMatchObject({ state: 'done', settled: counted });
    return replayed().length;
  };
  expect(await sent({ organization: scene.organizations[0] ?? '' })).toBe(2 * (3 + 2));
  expect(await sent({ eventType: 'thing.*' })).toBe(2 * 9);
  expect(await sent({ eventType: '*_made' })).toBe(2 * 2);
  expect(await sent({ topic: 'odd' })).toBe(2 * 2);
  expect(await sent({ topic: 'none' })).toBe(0);
  expect(await sent({ eventIds: ids.slice(0, 4) })).toBe(2 * 4);
  expect(await sent({ sinks: ['two'] })).toBe(11);
});

test('a job whose relay is cut off half-way goes on behind its last page, and one that is cancelled does not', async () => {
  const relay = await scene.start();
  const first = await scene.publish(1);
  await scene.log.has(first);
  const [lsn = 0n] = streamed().values();
  await scene.database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload) SELECT $1, 'many', to_jsonb(n) FROM generate_series(1, 6000) AS n`,
    [scene.organizations[0]],
  );
  await scene.log.receiver.received(6001);
  scene.log.clear();
  const { job, counted } = await ask({ from: { lsn } }, { rate: 2000 });
  const halfway = await poll('a page is saved', async () => {
    const now = await readJob(pool, job.id);
    return now?.place ? now : undefined;
  });
  await relay[Symbol.asyncDispose]();
  const left = await readJob(pool, job.id);
  expect(left).toMatchObject({ state: 'running' });
  expect(left?.settled).toBeLessThan(counted);
  expect(halfway.settled).toBeGreaterThan(0);
  await using _next = await scene.start();
  const done = await ended(job.id);
  expect(done).toMatchObject({ state: 'done', settled: counted });
  expect(new Set(replayed()).size).toBe(counted);
  expect(replayed().length).toBeLessThan(counted + 5_000); // it did not begin again

  scene.log.clear();
  const second = await ask({ from: { lsn } }, { rate: 1000 });
  await poll('it runs', async () => ((await readJob(pool, second.job.id))?.place ? true : undefined));
  expect(await cancelJob(pool, second.job.id)).toBe(true);
  const live = await scene.publish(3); // lanes that the job led go on
  await scene.log.has(live);
  expect(await readJob(pool, second.job.id)).toMatchObject({ state: 'cancelled' });
  expect(replayed().length).toBeLessThan(counted);
});

test('a slow job that is cancelled lets go of its lanes at once', async () => {
  await using _relay = await scene.start();
  const ids = await scene.publish(6);
  await scene.log.has(ids);
  const from = { lsn: [...streamed().values()].reduce((a, b) => (a < b ? a : b)) };
  scene.log.clear();
  const { job } = await ask({ from }, { rate: 0.02 });
  await poll('its first event was sent', async () => ((await readJob(pool, job.id))?.settled === 1 ? true : undefined));
  expect(await cancelJob(pool, job.id)).toBe(true);
  const live = await scene.publish(3);
  await scene.log.has(live);
  expect(replayed().length).toBe(1);
});

test('a position that nothing was written at yet is refused with what there is', async () => {
  await using _relay = await scene.start();
  await scene.log.has(await scene.publish(1));
  const refusal = ask({ from: { lsn: parseLsn('FFFF/0') ?? 0n } });
  await expect(refusal).rejects.toMatchObject({
    code: 'REPLAY_RANGE',
    message: expect.stringMatching(/FFFF\/0 is after the end of the log, which is 0\/[\dA-F]+/) as string,
    remedy: expect.stringMatching(
      /^Use --from-lsn 0\/[\dA-F]+, the newest checkpoint, or an earlier position/,
    ) as string,
  });
});

test('inside a lane the events of a job come in order, and live ones behind them', async () => {
  await using _relay = await scene.start();
  const [organization] = scene.organizations;
  await scene.database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload) SELECT $1, 'many', to_jsonb(n) FROM generate_series(1, 3000) AS n`,
    [organization],
  );
  await scene.log.receiver.received(3000);
  const [lsn = 0n] = streamed().values();
  scene.log.clear();
  const { job } = await ask({ from: { lsn } });
  await scene.log.receiver.received(3001);
  const live = await scene.publish(3);
  await ended(job.id);
  await scene.log.has(live);
  const lane = scene.log.events.filter((event) => event.organization_id === organization);
  const numbers = lane.filter((event) => event.lsn === null).map((event) => event.payload);
  expect(numbers).toEqual(Array.from({ length: 3000 }, (_, n) => n + 1));
  const firstLive = lane.findIndex((event) => event.lsn !== null);
  expect(firstLive).toBe(3000);
});
