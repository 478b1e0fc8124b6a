import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { systemClock } from '../../src/clock.ts';
import { DeliveryLog, pruneDeliveryLog } from '../../src/observe/delivery-log.ts';
import { DELIVERED, type Verdicts } from '../../src/pipeline.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { sampleEvent } from '../support/sample-event.ts';
import { poll } from '../support/slot-session.ts';

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(() => database[Symbol.asyncDispose]());

const rows = () =>
  database.query<Record<string, unknown>>(
    `SELECT sink, organization_id, first_event_id, last_event_id, event_ids, events, attempt, job, outcome, reason,
            duration_ms > 0 AS took, at > clock_timestamp() - interval '1 minute' AS recent FROM walpost.delivery_log ORDER BY id`,
  );

describe('a relay', () => {
  test.each([
    ['failures', ['unavailable']],
    ['all', ['unavailable', 'delivered']],
    ['off', []],
  ] as const)('with delivery.log: %s writes one row an attempt of these outcomes: %j', async (mode, outcomes) => {
    await using log = await EventLog.start();
    const keep = log.receiver.onBatch;
    let refusals = 1;
    log.receiver.onBatch = (batch, body) => (refusals-- > 0 ? 503 : keep(batch, body));
    const organization = randomUUID();
    await using relay = await RelayInProcess.start({ database, sinks: log.sinks, config: { delivery: { log: mode } } });
    const ids = await database.query<{ id: string }>(
      `INSERT INTO walpost.outbox (organization_id, event_type, payload)
       SELECT $1, 'a', '{}' FROM generate_series(1, 3) RETURNING event_id::text AS id`,
      [organization],
    );
    const events = ids.map(({ id }) => id);
    await log.has(events);
    await relay.stop();
    expect((await rows()).map(({ outcome }) => outcome)).toEqual(outcomes);
    const [first, second] = await rows();
    if (first) {
      expect(first).toEqual({
        sink: 'hook',
        organization_id: organization,
        first_event_id: events[0],
        last_event_id: events[2],
        event_ids: events,
        events: 3,
        attempt: 1,
        job: null,
        outcome: 'unavailable',
        reason: expect.stringContaining('503') as string,
        took: true,
        recent: true,
      });
    }
    if (second) expect(second).toMatchObject({ attempt: 2, reason: null, event_ids: events });
  });
});

test('a sink with log: false is left out, and no other', async () => {
  await using log = await EventLog.start();
  const sinks = { ...log.sinks, quiet: { type: 'discard', log: false }, told: { type: 'discard' } };
  await using relay = await RelayInProcess.start({ database, sinks, config: { delivery: { log: 'all' } } });
  const [event] = await database.query<{ id: string }>(`SELECT walpost.publish($1, 'a.b', '{}')::text AS id`, [
    randomUUID(),
  ]);
  await log.has([event?.id ?? '']);
  await relay.stop();
  expect(new Set((await rows()).map(({ sink }) => sink))).toEqual(new Set(['hook', 'told']));
});

describe('the buffer', () => {
  const made = (mode: 'all' | 'failures' = 'all'): { log: DeliveryLog; dropped: () => number } => {
    let dropped = 0;
    const log = new DeliveryLog({
      mode,
      clock: systemClock,
      onDropped: (count) => void (dropped += count),
      onError: () => undefined,
    });
    return { log, dropped: () => dropped };
  };
  const attempt = (log: DeliveryLog, name: string, verdicts: Verdicts = DELIVERED): void =>
    log.attempted({
      sink: 'hook',
      batch: { organizationId: 'x', attempt: 1, events: [sampleEvent({ eventId: name })] },
      verdicts,
      milliseconds: 1,
    });

  test('leaves out the oldest rows, and counts them, rather than grow', async () => {
    const { log, dropped } = made();
    for (let i = 0; i < 7_000; i += 1) attempt(log, `e${i}`);
    expect([log.waiting, dropped()]).toEqual([5_000, 2_000]);
    const pool = createPool(database.url, { applicationName: 'log', max: 1 });
    {
      await using _writing = log.writeTo({ pool, slot: 's', revoked: new AbortController().signal });
      await poll('all are written', async () => (log.waiting === 0 ? true : undefined));
    }
    const [range] = await database.query(
      'SELECT count(*)::int, min(id) AS first, (array_agg(first_event_id ORDER BY id))[1] AS oldest FROM walpost.delivery_log',
    );
    expect(range).toEqual({ count: 5_000, first: '1', oldest: 'e2000' });
    await pool.end();
  });

  test('reads no field of an event that it does not log: each costs another cut of the whole row', () => {
    const { log } = made('failures');
    const event = new Proxy(sampleEvent(), {
      get: (target, name) => {
        if (name === 'origin') return target.origin;
        throw new Error(`${String(name)} was read`);
      },
    });
    const batch = { organizationId: 'x', attempt: 1, events: [event] };
    log.attempted({ sink: 'hook', batch, verdicts: DELIVERED, milliseconds: 1 });
    expect(log.waiting).toBe(0);
  });

  test('keeps the reason and the answer apart', async () => {
    const { log } = made();
    const said = { reason: 'the destination answered 503 Service Unavailable', answer: 'no room' };
    attempt(log, 'e1', [DELIVERED, { kind: 'unavailable', ...said }, { kind: 'failed', reason: 'another' }]);
    attempt(log, 'e2', { kind: 'unavailable', reason: said.reason });
    const pool = createPool(database.url, { applicationName: 'log', max: 1 });
    await log.writeTo({ pool, slot: 's', revoked: new AbortController().signal })[Symbol.asyncDispose]();
    expect(await database.query('SELECT reason, answer FROM walpost.delivery_log ORDER BY id')).toEqual([
      said,
      { reason: said.reason, answer: null },
    ]);
    await pool.end();
  });

  test('what cannot be written is counted, and holds nothing up', async () => {
    const { log, dropped } = made();
    await database.query('DROP TABLE walpost.delivery_log CASCADE');
    attempt(log, 'e1');
    const pool = createPool(database.url, { applicationName: 'log', max: 1 });
    await log.writeTo({ pool, slot: 's', revoked: new AbortController().signal })[Symbol.asyncDispose]();
    expect([log.waiting, dropped()]).toEqual([0, 1]);
    await pool.end();
  });
});

test('what is older than seven days is removed, in small steps', async () => {
  await database.query(
    `INSERT INTO walpost.delivery_log (slot, sink, organization_id, first_event_id, last_event_id, event_ids, events, attempt,
       outcome, duration_ms, at)
     SELECT 's', 'hook', 'x', 'e', 'e', '{e}', 1, 1, 'delivered', 1,
            clock_timestamp() - CASE WHEN n <= 2500 THEN interval '8 days' ELSE interval '6 days' END
       FROM generate_series(1, 3000) AS n`,
  );
  const pool = createPool(database.url, { applicationName: 'log', max: 1 });
  expect(await pruneDeliveryLog(pool, new AbortController().signal)).toBe(2_500);
  expect(await database.query('SELECT count(*)::int FROM walpost.delivery_log')).toEqual([{ count: 500 }]);
  await pool.end();
});
