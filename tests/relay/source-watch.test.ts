/** The looks of a leader at its source table, made by hand: what it asks for, and from when on checkpoints are taken again. */
import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { configSchema } from '../../src/config/schema.ts';
import { JobStore } from '../../src/jobs/job-store.ts';
import { cancelJob, listJobs } from '../../src/jobs/job-rows.ts';
import { createLog } from '../../src/observe/log.ts';
import { CheckpointStore } from '../../src/postgres/cursor/checkpoints.ts';
import { CursorStore } from '../../src/postgres/cursor/cursor-store.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { markIncomplete } from '../../src/postgres/source/completeness.ts';
import { SourceWatch } from '../../src/relay/healing/source-watch.ts';
import { checkServer, type ServerFacts } from '../../src/slot/server-checks.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createRole, type DatabaseRole } from '../support/database-role.ts';
import { poll } from '../support/slot-session.ts';

const SLOT = 'watched';
const SOURCE = { publication: 'walpost', table: 'walpost.outbox' };
const CHANGE =
  'ALTER PUBLICATION walpost DROP TABLE walpost.outbox; ALTER PUBLICATION walpost ADD TABLE walpost.outbox';

let database: TestDatabase;
let role: DatabaseRole;
let pool: pg.Pool;
let server: ServerFacts;
let leader: Leader;

interface Leader {
  readonly watch: SourceWatch;
  readonly jobs: JobStore;
  readonly checkpoint: () => Promise<bigint | undefined>;
}

beforeEach(async () => {
  database = await createTestDatabase();
  role = await createRole(database, { in: ['walpost_relay'], attributes: 'REPLICATION' });
  pool = createPool(role.url, { applicationName: 'test', max: 3 });
  server = await checkServer({ url: role.url, slot: SLOT });
  leader = await lead();
  await leader.watch.check(); // the first one takes the source as it is
});

afterEach(async () => {
  await pool.end();
  await role[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

/** Another one, which knows nothing of what the last one saw. */
async function lead(): Promise<Leader> {
  const cursor = await CursorStore.claim(pool, { slot: SLOT, ...server });
  const config = configSchema.parse({
    database: { url: role.url },
    source: {},
    sinks: { hook: { type: 'discard' } },
    routes: [{ to: ['hook'] }],
  });
  const log = createLog({ level: 'silent' });
  const checkpoints = new CheckpointStore(pool, cursor);
  return {
    watch: new SourceWatch({ config, log, term: { pool, cursor, slot: SLOT, server } }),
    jobs: new JobStore(pool, cursor),
    checkpoint: () => checkpoints.takeOf(SOURCE),
  };
}

const states = async (): Promise<string[]> => (await listJobs(pool)).map(({ state }) => state).toReversed();

/** So many looks change nothing. */
async function stays(expected: readonly string[]): Promise<void> {
  for (let n = 0; n < 3; n++) await leader.watch.check();
  expect(await states()).toEqual(expected);
}

/** It looks until another job is there: transactions of other tests may be older than the change. */
async function asks(expected: readonly string[]): Promise<void> {
  await poll('a job is asked for', async () => {
    await leader.watch.check();
    return (await states()).length >= expected.length || undefined;
  });
  await stays(expected);
}

async function take() {
  const job = await leader.jobs.take();
  if (!job) throw new Error('there is no job');
  return job;
}

test('no checkpoint is taken before the replay is done, and it is asked for once', async () => {
  expect(await leader.checkpoint()).toBeTypeOf('bigint');
  await database.query(CHANGE);
  await asks(['queued']);
  expect(await leader.checkpoint()).toBeUndefined();
  const job = await take();
  await stays(['running']);
  expect(await leader.checkpoint()).toBeUndefined();
  expect(await leader.jobs.finish(job, {})).toBe(true);
  expect(await leader.checkpoint()).toBeTypeOf('bigint');
  await stays(['done']);
});

test('a replay that failed, or was cancelled, is asked for again', async () => {
  await database.query(CHANGE);
  await asks(['queued']);
  const job = await take();
  await leader.jobs.end(job.id, { state: 'failed', error: 'no luck' });
  expect(await leader.checkpoint()).toBeUndefined();
  await asks(['failed', 'queued']);
  const second = await take();
  expect(second).toMatchObject({ fromLsn: job.fromLsn, afterSnapshot: job.afterSnapshot });
  expect(await cancelJob(pool, second.id)).toBe(true);
  expect(await leader.jobs.finish(second, {})).toBe(false); // it had sent all, and was too late
  expect(await leader.checkpoint()).toBeUndefined();
  await asks(['failed', 'cancelled', 'queued']);
});

test('the next leader goes on with it, or asks again', async () => {
  await database.query(CHANGE);
  await asks(['queued']);
  leader = await lead();
  await stays(['queued']);
  await leader.jobs.end((await take()).id, { state: 'failed', error: 'no luck' });
  leader = await lead();
  await asks(['failed', 'queued']);
  await leader.jobs.finish(await take(), {});
  expect(await leader.checkpoint()).toBeTypeOf('bigint');
});

test.each([
  ['the publication is changed', () => database.query(CHANGE)],
  ['rows are known to be missing', () => markIncomplete(pool, SLOT)],
])('while it runs %s: its end is not enough, and another one follows', async (_what, happens) => {
  await database.query(CHANGE);
  await asks(['queued']);
  const job = await take();
  await happens();
  await leader.jobs.finish(job, {});
  expect(await leader.checkpoint()).toBeUndefined();
  await asks(['done', 'queued']);
  await leader.jobs.finish(await take(), {});
  expect(await leader.checkpoint()).toBeTypeOf('bigint');
});

test('rows that are missed while it runs are asked for at once, and only that job makes the stream whole', async () => {
  await database.query(CHANGE);
  await asks(['queued']);
  const first = await take();
  await markIncomplete(pool, SLOT);
  await asks(['running', 'queued']);
  await leader.jobs.finish(first, {});
  expect(await leader.checkpoint()).toBeUndefined();
  await stays(['done', 'queued']);
  await leader.jobs.finish(await take(), {});
  expect(await leader.checkpoint()).toBeTypeOf('bigint');
});

test('a person who can do without what is missing says so, also while it is read', async () => {
  await database.query(CHANGE);
  await asks(['queued']);
  const job = await take();
  await database.query('UPDATE walpost.cursor SET source = NULL');
  await cancelJob(pool, job.id);
  await stays(['cancelled']);
  expect(await leader.checkpoint()).toBeTypeOf('bigint');
});

test('while rows are hidden from scans nothing is asked for, since it would fail', async () => {
  await database.query('DROP POLICY walpost_relay ON walpost.outbox');
  await database.query(CHANGE);
  await stays([]);
  expect(await leader.checkpoint()).toBeUndefined();
  await database.query('CREATE POLICY walpost_relay ON walpost.outbox FOR SELECT TO walpost_relay USING (true)');
  await asks(['queued']);
});
