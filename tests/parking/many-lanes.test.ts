import { expect, test } from 'vitest';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { disorder } from '../relay/arrivals.ts';
import { createTestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { poll } from '../support/slot-session.ts';

const LANES = 1_000;
const EACH = 50;
const MEBIBYTE = 1024 ** 2;

/** Rows as an earlier leader left them, all before the cursor. */
const FILL = `
  INSERT INTO walpost.parked (slot, epoch, sink, organization_id, history, order_lsn, order_job, place, commit_lsn, ordinal,
      event_id, event_type, event_version, topic, payload, headers, created_at, committed_at, size, received_at)
  SELECT $1, 1, 'hook', md5(lane::text)::uuid::text, 0, ('0/' || to_hex(256 + n))::pg_lsn, false, lane, ('0/' || to_hex(256 + n))::pg_lsn,
         lane, gen_random_uuid()::text, 'a.b', 1, 'default', jsonb_build_object('n', n, 'pad', repeat('x', 200))::text, '{}',
         '2026-11-20T14:00:00.000000Z', clock_timestamp(), 400, clock_timestamp()
    FROM generate_series(0, ${EACH - 1}) AS n, generate_series(1, ${LANES}) AS lane ORDER BY n, lane`;

test('50,000 parked events in 1,000 lanes: a start drains them within seconds, in order, within the memory', async () => {
  await using database = await createTestDatabase();
  await using log = await EventLog.start();
  const options = { database, sinks: log.sinks, config: { memory: { budget: '16MiB' } } };
  {
    await using first = await RunningWalpost.start(options);
    expect((await first.stop()).code).toBe(0);
  }
  await database.query(FILL, [database.slotName]);
  const rows = await database.query<{ organization_id: string }>('SELECT DISTINCT organization_id FROM walpost.parked');
  const committed = new Map(rows.map((row) => [row.organization_id, EACH]));
  expect(committed.size).toBe(LANES);
  let firstAt = Infinity;
  const keep = log.receiver.onBatch;
  log.receiver.onBatch = (batch, body) => {
    firstAt = Math.min(firstAt, performance.now());
    return keep(batch, body);
  };
  await using relay = await RunningWalpost.start(options);
  const streaming = performance.now();
  await poll('all has arrived', async () => (log.receiver.count >= LANES * EACH ? true : undefined), 90_000);
  const took = performance.now() - streaming;
  await poll(
    'nothing is parked',
    async () => ((await database.query('SELECT FROM walpost.parked LIMIT 1')).length === 0 ? true : undefined),
    20_000,
  );
  const peak = await relay.peakMemory();
  console.log(
    `first after ${Math.round(firstAt - streaming)} ms of streaming, all in ${Math.round(took)} ms, peak ${Math.round(peak / MEBIBYTE)} MiB`,
  );
  expect(firstAt - streaming).toBeLessThan(5_000);
  expect(disorder(log.events, committed)).toEqual([]);
  expect(log.events).toHaveLength(LANES * EACH);
  expect(peak).toBeLessThan(280 * MEBIBYTE);
  expect((await relay.stop()).code).toBe(0);
}, 180_000);
