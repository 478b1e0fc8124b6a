import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { settleAll } from '../support/settled-checkpoint.ts';

const organization = randomUUID();

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
  await settleAll(database);
});
afterEach(() => database[Symbol.asyncDispose]());

const one = async (sql: string, values: unknown[] = []): Promise<Record<string, unknown>> =>
  (await database.query(sql, values))[0] ?? {};
const publish = async (topic = 'default'): Promise<string> =>
  String((await one(`SELECT walpost.publish($1, 'a', '{}', topic => $2) AS id`, [organization, topic]))['id']);
const status = async (id: string): Promise<unknown> => (await one('SELECT walpost.event_status($1) AS s', [id]))['s'];
const park = (id: string, more: { organization?: string; sink?: string; age?: string; place?: number } = {}) =>
  database.query(
    `INSERT INTO walpost.parked (slot, epoch, sink, organization_id, history, order_lsn, order_job, place, commit_lsn, ordinal,
                                 event_id, event_type, event_version, topic, payload, headers, size, received_at)
     VALUES ('test', 1, $3, $2, 0, '0/1', false, $5, '0/1', 0, $1, 'a', 1, 't', '{}', '{}', 1, now() - $4::interval)`,
    [id, more.organization ?? organization, more.sink ?? 'hook', more.age ?? '0', more.place ?? 0],
  );
const bury = (id: string | null, count = 1) =>
  database.query(
    `INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, attempts, event_id, organization_id, event_type)
     SELECT 'test', '1', 1, 'hook', 'failed', 'no ' || n, 3, $1, $2, 'a' FROM generate_series(1, $3) AS n`,
    [id, organization, count],
  );
const alerts = async (): Promise<Record<string, unknown>> =>
  Object.fromEntries(
    (await database.query<{ name: string; severity: string }>('SELECT * FROM walpost.alerts')).map((row) => [
      row.name,
      row.severity,
    ]),
  );

test('event_status: pending, delivered, parked, dead, and null for what is not there', async () => {
  const [a, b, c] = [await publish(), await publish(), await publish()];
  expect(await status(a)).toBe('pending');
  await settleAll(database);
  expect(await status(a)).toBe('delivered');
  await park(b);
  await bury(c);
  expect([await status(b), await status(c), await status(randomUUID())]).toEqual(['parked', 'dead', null]);
});

test('pending is what no settled checkpoint sees: of a transaction that was open then too', async () => {
  const open = await database.client();
  await open.query('BEGIN');
  await open.query(`SELECT walpost.publish($1, 'open', '{}')`, [organization]);
  await publish('before');
  await settleAll(database);
  await open.query('COMMIT');
  await publish('after');
  const rows = await database.query(`SELECT topic FROM walpost_internal.pending_events('test', 10)`);
  expect(rows).toEqual([{ topic: 'default' }, { topic: 'after' }]);
  expect(await one('SELECT pending, pending_more FROM walpost.cursor_health')).toEqual({
    pending: '2',
    pending_more: false,
  });
  expect(await database.query(`SELECT topic FROM walpost_internal.pending_events('test', 1)`)).toHaveLength(1);
});

test('health counts what waits and what failed, up to a bound', async () => {
  const id = await publish();
  await park(id, { age: '10 minutes' });
  await bury(null, 3);
  expect(
    await one('SELECT undelivered, pending, parked, dead_letters, dead_letters_last_hour FROM walpost.health'),
  ).toEqual({
    undelivered: '2',
    pending: '1',
    parked: '1',
    dead_letters: '3',
    dead_letters_last_hour: '3',
  });
  expect(Number((await one('SELECT oldest_undelivered_seconds AS s FROM walpost.health'))['s'])).toBeGreaterThan(599);
  await bury(null, 10_000);
  expect(await one('SELECT dead_letters, dead_letters_more FROM walpost.health')).toEqual({
    dead_letters: '10000',
    dead_letters_more: true,
  });
});

test('the average delivery is measured from the ids and the log of attempts', async () => {
  const id = await publish();
  await database.query(
    `INSERT INTO walpost.delivery_log (slot, sink, organization_id, first_event_id, last_event_id, event_ids, events, attempt, outcome, duration_ms, at)
     VALUES ('test', 's', $2, $1, $1, ARRAY[$1], 1, 1, 'delivered', 5, now())`,
    [id, organization],
  );
  await database.query(
    `UPDATE walpost.delivery_log SET at = walpost_internal.uuid_time(first_event_id) + interval '200 seconds'`,
  );
  expect(Number((await one('SELECT average_delivery_seconds AS s FROM walpost.health'))['s'])).toBeCloseTo(200, 1);
  expect(await alerts()).toMatchObject({ average_delivery: 'warning', average_delivery_critical: 'critical' });
});

test('organizations, queues and errors', async () => {
  const other = randomUUID();
  await park(await publish('jobs'));
  await park('not a uuid', { organization: other, sink: 'slack' });
  await park('nor this', { organization: other, sink: 'slack', place: 1 });
  await bury(null, 2);
  const rows = await database.query(
    'SELECT organization_id, pending, parked, dead_letters FROM walpost.organization_health ORDER BY parked',
  );
  expect(rows).toEqual([
    { organization_id: organization, pending: '1', parked: '1', dead_letters: '2' },
    { organization_id: other, pending: '0', parked: '2', dead_letters: '0' },
  ]);
  expect(
    await database.query('SELECT state, name, events, more FROM walpost.queue_status ORDER BY state, name'),
  ).toEqual([
    { state: 'dead', name: 'hook', events: '2', more: false },
    { state: 'parked', name: 'hook', events: '1', more: false },
    { state: 'parked', name: 'slack', events: '2', more: false },
    { state: 'pending', name: 'jobs', events: '1', more: false },
  ]);
  expect(
    await database.query('SELECT sink, reason, events, organizations, last_detail FROM walpost.error_summary'),
  ).toEqual([{ sink: 'hook', reason: 'failed', events: '2', organizations: '1', last_detail: 'no 2' }]);
});

test('the timeline of an event, step by step', async () => {
  const id = await publish();
  await database.query(
    `INSERT INTO walpost.delivery_log (slot, sink, organization_id, first_event_id, last_event_id, event_ids, events, attempt, outcome, reason, duration_ms, at)
     VALUES ('test', 'hook', $2, $1, $1, ARRAY['x', $1], 2, 1, 'failed', '500', 5, clock_timestamp())`,
    [id, organization],
  );
  await park(id);
  await bury(id);
  const steps = await database.query(
    'SELECT step, sink, detail FROM walpost.event_timeline WHERE event_id = $1 ORDER BY at',
    [id],
  );
  expect(steps).toEqual([
    { step: 'created', sink: null, detail: null },
    { step: 'failed', sink: 'hook', detail: 'attempt 1, 5 ms, 500' },
    { step: 'parked', sink: 'hook', detail: null },
    { step: 'dead', sink: 'hook', detail: 'failed: no 1' },
  ]);
});

describe('the timeline of an event whose row is pruned', () => {
  const attempt = (id: string) =>
    database.query(
      `INSERT INTO walpost.delivery_log (slot, sink, organization_id, first_event_id, last_event_id, event_ids, events, attempt, outcome, duration_ms, at)
       VALUES ('test', 'hook', $2, $1, $1, ARRAY['x', $1], 2, 1, 'delivered', 5, clock_timestamp())`,
      [id, organization],
    );
  const timeline = (id: string) =>
    database.query(
      'SELECT step, sink, event_type, organization_id FROM walpost.event_timeline WHERE event_id = $1 ORDER BY at',
      [id],
    );
  const prune = async (): Promise<void> => {
    await settleAll(database);
    await database.query(`SELECT walpost.prune('0')`);
    expect(await database.query('SELECT FROM walpost.outbox')).toEqual([]);
  };

  test('is whole for as long as the log', async () => {
    const id = await publish();
    await attempt(id);
    const whole = await timeline(id);
    expect(whole).toEqual([
      { step: 'created', sink: null, event_type: 'a', organization_id: organization },
      { step: 'delivered', sink: 'hook', event_type: 'a', organization_id: organization },
    ]);
    await prune();
    expect(await timeline(id)).toEqual(whole);
    await database.query(`UPDATE walpost.pruned_events SET pruned_at = pruned_at - interval '167 hours'`);
    await prune();
    expect(await timeline(id)).toEqual(whole);
    await database.query(`UPDATE walpost.settings SET value = '166' WHERE name = 'delivery_log_hours'`);
    await prune();
    expect(await timeline(id)).toEqual([]);
  });

  test('is not kept where the log says nothing of the tenant since the event', async () => {
    await attempt(randomUUID());
    const [quiet] = await database.query<{ id: string }>(`SELECT walpost.publish($1, 'a', '{}') AS id`, [randomUUID()]);
    const late = await publish();
    await prune();
    expect([await timeline(quiet?.id ?? ''), await timeline(late)]).toEqual([[], []]);
    expect(await database.query('SELECT FROM walpost.pruned_events')).toEqual([]);
  });

  test('is whole after its day was dropped, and not told twice before', async () => {
    await database.query('SELECT walpost.partition_outbox()');
    await database.query('ALTER TABLE walpost.outbox DETACH PARTITION walpost.outbox_before');
    await database.query(
      `DO $$ BEGIN EXECUTE format('ALTER TABLE walpost.outbox ATTACH PARTITION walpost.outbox_before FOR VALUES FROM (MINVALUE) TO (%L)', now() - interval '5 days'); END $$`,
    );
    const [old] = await database.query<{ id: string }>(
      `INSERT INTO walpost.outbox (organization_id, event_type, payload, created_at) VALUES ($1, 'a', '{}', now() - interval '6 days') RETURNING event_id AS id`,
      [organization],
    );
    const id = old?.id ?? '';
    await attempt(id);
    const whole = await timeline(id);
    expect(whole).toHaveLength(2);
    await settleAll(database);
    await database.query('SELECT walpost_internal.make_partitions()');
    expect(await database.query(`SELECT walpost_internal.drop_partitions('72 hours') AS n`)).toEqual([{ n: 1 }]);
    expect(await database.query(`SELECT to_regclass('walpost.outbox_before')::text AS name`)).toEqual([
      { name: 'walpost.outbox_before' },
    ]);
    expect(await timeline(id)).toEqual(whole);
    expect(await database.query(`SELECT walpost_internal.drop_partitions('72 hours') AS n`)).toEqual([{ n: 1 }]);
    expect(await database.query('SELECT FROM walpost.outbox')).toEqual([]);
    expect(await timeline(id)).toEqual(whole);
  });

  test.each(['there', 'pruned'])('by the indexes, when the row is %s', async (state) => {
    await database.query(
      `INSERT INTO walpost.outbox (organization_id, event_type, payload)
       SELECT gen_random_uuid(), 'a', '{}' FROM generate_series(1, 20000)`,
    );
    await database.query(
      `INSERT INTO walpost.delivery_log (slot, sink, organization_id, first_event_id, last_event_id, event_ids, events, attempt, outcome, duration_ms, at)
       SELECT 'test', 'hook', organization_id, event_id, event_id, ARRAY[event_id], 1, 1, 'delivered', 5, clock_timestamp() FROM walpost.outbox`,
    );
    const [{ id } = { id: '' }] = await database.query<{ id: string }>(
      'SELECT event_id AS id FROM walpost.outbox OFFSET 9000 LIMIT 1',
    );
    await settleAll(database);
    await database.query(`SELECT walpost.prune('0', ${state === 'pruned' ? 20_000 : 5_000})`);
    await database.query('ANALYZE walpost.outbox, walpost.pruned_events, walpost.delivery_log');
    expect(await database.query('SELECT FROM walpost.event_timeline WHERE event_id = $1', [id])).toHaveLength(2);
    const plan = (
      await database.query<Record<string, string>>(
        `EXPLAIN (ANALYZE, BUFFERS, COSTS OFF) SELECT * FROM walpost.event_timeline WHERE event_id = '${id}'`,
      )
    ).map((row) => row['QUERY PLAN'] ?? '');
    const walked = plan.filter((line) => /Seq Scan on (outbox|pruned_events|delivery_log)/.test(line));
    expect([walked, plan.join('\n')]).toEqual([[], expect.stringContaining('pruned_events_pkey')]);
  });
});

test('alerts hold beyond their thresholds, which walpost.settings can change', async () => {
  await database.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [database.slotName]);
  await database.query('UPDATE walpost.cursor SET slot = $1', [database.slotName]);
  await database.query('UPDATE walpost.checkpoints SET slot = $1', [database.slotName]);
  expect(await alerts()).toEqual({ slot_inactive: 'warning' });
  await database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload, created_at)
     SELECT $1, 'a', '{}', now() - interval '200 seconds' FROM generate_series(1, 1000)`,
    [organization],
  );
  expect(await alerts()).toEqual({ slot_inactive: 'warning', waiting: 'warning' });
  await database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload, created_at) VALUES ($1, 'a', '{}', now() - interval '301 seconds')`,
    [organization],
  );
  await bury(null, 11);
  await database.query(
    `UPDATE walpost.cursor SET claimed_at = now() - interval '1 hour', advanced_at = now() - interval '1 hour'`,
  );
  await database.query(`UPDATE walpost.checkpoints SET taken_at = now() - interval '1 hour'`);
  const all = {
    slot_inactive: 'warning',
    waiting: 'warning',
    undelivered: 'critical',
    oldest_undelivered: 'critical',
    dead_letters: 'warning',
    no_progress: 'critical',
  };
  expect(await alerts()).toEqual(all);
  await database.query(`UPDATE walpost.settings SET value = '20' WHERE name = 'alert_dead_letters_per_hour'`);
  const { dead_letters: _, ...rest } = all;
  expect(await alerts()).toEqual(rest);
  await database.query('SELECT pg_drop_replication_slot($1)', [database.slotName]);
  // The server keeps nothing for it, and the remedy of slot_inactive would be false.
  const { slot_inactive: __, ...others } = rest;
  expect(await alerts()).toEqual({ ...others, slot_missing: 'critical' });
});
