import { isDeepStrictEqual } from 'node:util';
import { expect, test } from 'vitest';
import { requestJob } from '../../src/jobs/job-rows.ts';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { disorder } from '../relay/arrivals.ts';
import { createTestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { poll } from '../support/slot-session.ts';

const LETTERS = 10_000;
const LANES = 100;
const DONE = { state: 'done', settled: String(LETTERS) };

const FILL = `
  INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, attempts, event_id, organization_id,
      event_type, event_version, topic, payload, headers)
  SELECT slot, system_identifier, epoch, 'hook', 'failed', 'HTTP 422', 3, gen_random_uuid()::text,
         md5((n % ${LANES})::text)::uuid::text, 'a.b', 1, 'default', jsonb_build_object('n', n / ${LANES})::text, '{}'
    FROM walpost.cursor, generate_series(0, ${LETTERS - 1}) AS n ORDER BY n`;

test('a redrive of 10,000 dead letters that is killed half-way delivers each, loses none and keeps their order', async () => {
  await using database = await createTestDatabase();
  await using log = await EventLog.start();
  const options = { database, sinks: log.sinks };
  const letters = async (): Promise<number> =>
    Number((await database.query<{ count: string }>('SELECT count(*) FROM walpost.dead_letters'))[0]?.count);
  {
    await using relay = await RunningWalpost.start(options);
    await database.query(FILL);
    const range = { fromLsn: null, afterSnapshot: null, beforeXid: null };
    const slot = database.slotName;
    await requestJob(await database.client(), { slot, kind: 'redrive', reason: null, spec: {}, ...range });
    await log.receiver.received(LETTERS / 2, 60_000);
    relay.cli.child.kill('SIGKILL');
    await relay.cli.result();
  }
  const left = await letters();
  expect(left).toBeGreaterThan(0);
  await using relay = await RunningWalpost.start(options);
  // The last letter goes before its job is said to be done.
  const job = async (): Promise<unknown> => (await database.query('SELECT state, settled FROM walpost.jobs'))[0];
  await poll('the job is done', async () => (isDeepStrictEqual(await job(), DONE) ? true : undefined), 60_000);
  expect(await letters()).toBe(0);
  const organizations = new Set(log.events.map((event) => event.organization_id));
  expect(organizations.size).toBe(LANES);
  expect(disorder(log.events, new Map([...organizations].map((id) => [id, LETTERS / LANES])))).toEqual([]);
  console.log(`${left} letters were left when it was killed; ${log.events.length - LETTERS} events came twice`);
  expect((await relay.stop()).code).toBe(0);
}, 180_000);
