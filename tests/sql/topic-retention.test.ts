/** `retention_hours`: rows of a topic that stay shorter or longer than the others, also in daily partitions. */
import { randomUUID } from 'node:crypto';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { type PostgresMajor, startServer } from '../support/server.ts';
import { settleAll } from '../support/settled-checkpoint.ts';

const ORGANIZATION = randomUUID();

describe.each<PostgresMajor>(['15', '17'])('on Postgres %s', (version) => {
  let server: Awaited<ReturnType<typeof startServer>>;
  let database: TestDatabase;
  beforeAll(async () => {
    server = await startServer(version);
  });
  afterAll(() => server[Symbol.asyncDispose]());
  beforeEach(async () => {
    database = await createTestDatabase({ server: server.url() });
  });
  afterEach(() => database[Symbol.asyncDispose]());

  const keep = (topic: string, hours: string) =>
    database.query(
      `INSERT INTO walpost.settings (name, topic, value) VALUES ('retention_hours', $1, $2::jsonb)
       ON CONFLICT (name, topic) DO UPDATE SET value = excluded.value`,
      [topic, hours],
    );
  const keepAsOthers = (topic: string) => database.query('DELETE FROM walpost.settings WHERE topic = $1', [topic]);
  const fill = (topic: string, hours: number, count = 1) =>
    database.query(
      `INSERT INTO walpost.outbox (organization_id, event_type, topic, payload, created_at)
       SELECT $1, 'a', $2, '{}', clock_timestamp() - make_interval(hours => $3) FROM generate_series(1, $4)`,
      [ORGANIZATION, topic, hours, count],
    );
  const prune = async (batch = 5_000): Promise<number> =>
    Number((await database.query<{ n: string }>(`SELECT walpost.prune('72 hours', $1) AS n`, [batch]))[0]?.n);
  const pruneAll = async (batch: number): Promise<number[]> => {
    const steps = [await prune(batch)];
    while (steps.at(-1) !== 0) steps.push(await prune(batch));
    return steps;
  };
  const left = async (): Promise<Record<string, number>> => {
    const rows = await database.query<{ topic: string; n: number }>(
      'SELECT topic, count(*)::int AS n FROM walpost.outbox GROUP BY topic',
    );
    return Object.fromEntries(rows.map(({ topic, n }) => [topic, n]));
  };
  const names = async (): Promise<string[]> =>
    (
      await database.query<{ name: string }>(
        `SELECT inhrelid::regclass::text AS name FROM pg_inherits WHERE inhparent = 'walpost.outbox'::regclass`,
      )
    ).map(({ name }) => name);
  /** The first partition becomes one that ended five days ago. */
  const partitionOfThePast = async (): Promise<void> => {
    await database.query('SELECT walpost.partition_outbox()');
    await database.query('ALTER TABLE walpost.outbox DETACH PARTITION walpost.outbox_before');
    await database.query(
      `DO $$ BEGIN EXECUTE format('ALTER TABLE walpost.outbox ATTACH PARTITION walpost.outbox_before FOR VALUES FROM (MINVALUE) TO (%L)', now() - interval '5 days'); END $$`,
    );
  };

  test('a topic stays shorter, another longer, the others as prune is told', async () => {
    await keep('short', '1.5');
    await keep('long', '240');
    for (const topic of ['short', 'long', 'default']) for (const hours of [1, 2, 71, 73, 241]) await fill(topic, hours);
    await database.query(
      `INSERT INTO walpost.delivery_log (slot, sink, organization_id, first_event_id, last_event_id, event_ids, events, attempt, outcome, duration_ms, at)
       VALUES ('test', 'hook', $1, 'x', 'x', '{x}', 1, 1, 'delivered', 5, now() - interval '100 hours')`,
      [ORGANIZATION],
    );
    expect(await prune()).toBe(0); // nothing is proven
    await settleAll(database);
    expect([await prune(), await prune()]).toEqual([4 + 1 + 2, 0]);
    expect(await left()).toEqual({ short: 1, long: 4, default: 3 });
    expect(await database.query('SELECT FROM walpost.pruned_events')).toHaveLength(3);
  });

  test('rows that stay longer do not keep those behind them, however many they are', async () => {
    await keep('long', '2400');
    await fill('long', 100, 50);
    await fill('default', 100, 7);
    await settleAll(database);
    expect(await pruneAll(5)).toEqual([5, 2, 0]);
    expect(await left()).toEqual({ long: 50 });
  });

  test('a call that has no time left goes on where the last one ended', async () => {
    await keep('long', '2400');
    await fill('long', 100, 45);
    await fill('default', 100, 7);
    await settleAll(database);
    const page = async (): Promise<number> => {
      const [row] = await database.query<{ n: number }>(
        `SELECT walpost_internal.prune_topic('*', now() - interval '72 hours', '{long}', array_agg(c.snapshot), 5, '-infinity')::int AS n
           FROM walpost.checkpoints AS c`,
      );
      return row?.n ?? -1;
    };
    const steps: number[] = [];
    for (let n = 0; n < 7; n++) steps.push(await page());
    expect(steps).toEqual([0, 0, 0, 0, 5, 2, 0]);
  });

  test('rows of a topic that stays shorter are found behind others, also in one transaction', async () => {
    await keep('short', '1');
    await fill('default', 30, 50);
    await fill('short', 30, 7);
    await fill('default', 30, 50);
    await fill('short', 30, 1);
    await settleAll(database);
    expect(await pruneAll(5)).toEqual([5, 3, 0]);
    expect(await left()).toEqual({ default: 100 });
  });

  test('a transaction that was open at the checkpoint is found later, behind the mark of the others', async () => {
    await keep('short', '1');
    const open = await database.client();
    await open.query('BEGIN');
    await open.query(
      `INSERT INTO walpost.outbox (organization_id, event_type, topic, payload, created_at)
       SELECT $1, 'open', 'short', '{}', now() - interval '9 hours' FROM generate_series(1, 3)`,
      [ORGANIZATION],
    );
    await fill('short', 9, 30);
    await settleAll(database);
    expect(await pruneAll(5)).toEqual([5, 5, 5, 5, 5, 5, 0]);
    await open.query('COMMIT');
    expect(await prune(5)).toBe(0);
    await settleAll(database);
    expect([await prune(5), await left()]).toEqual([3, {}]);
  });

  test('a topic that loses or gets a time of its own is read from the beginning again', async () => {
    await keep('a', '2400');
    await fill('a', 100, 3);
    await fill('default', 1);
    await settleAll(database);
    await prune();
    await keep('b', '1');
    await fill('b', 2);
    await keepAsOthers('a');
    await settleAll(database);
    expect([await prune(), await left()]).toEqual([4, { default: 1 }]);
  });

  test('a mark that a dump brought from another cluster counts no more', async () => {
    await keep('short', '1');
    await database.query(
      `INSERT INTO walpost.prune_marks VALUES ('short', '9000000000', 1, '{short}'), ('*', '9000000000', 1, '{short}')`,
    );
    await fill('short', 2);
    await fill('default', 80);
    await settleAll(database);
    expect([await prune(), await left()]).toEqual([2, {}]);
  });

  test('rows that are stamped anew are found, though they lie before the marks now', async () => {
    await keep('short', '1');
    await fill('short', 2);
    await settleAll(database);
    await prune();
    await database.query(
      `INSERT INTO walpost.outbox (organization_id, event_type, topic, payload, created_at, created_xid)
       VALUES ($1, 'a', 'short', '{}', now() - interval '2 hours', '9000000000')`,
      [ORGANIZATION],
    );
    await database.query(`SELECT walpost_internal.restamp('3', 10)`);
    await settleAll(database);
    expect([await prune(), await left()]).toEqual([1, {}]);
  });

  test('it walks the indexes, whatever the age of the table', async () => {
    await keep('short', '1');
    await fill('default', 100, 150);
    await fill('default', 2, 50_000);
    await fill('short', 2, 150);
    await database.query('ANALYZE walpost.outbox');
    await settleAll(database);
    const client = await database.client();
    await client.query('BEGIN');
    const { rows } = await client.query(`SELECT walpost.prune('72 hours', 100)::int AS removed`);
    const { rows: scans } = await client.query(
      `SELECT seq_scan::int AS whole FROM pg_stat_xact_user_tables WHERE relid = 'walpost.outbox'::regclass`,
    );
    await client.query('COMMIT');
    expect([rows, scans]).toEqual([[{ removed: 200 }], [{ whole: 0 }]]);
  });

  test('a replay does not begin before rows that have left, of whatever topic', async () => {
    await keep('short', '1');
    await settleAll(database);
    await fill('short', 2);
    await fill('default', 2);
    await settleAll(database);
    await prune();
    const rows = await database.query('SELECT count(*)::int AS n FROM walpost.checkpoints');
    expect(rows).toEqual([{ n: 1 }]);
  });

  test('a partition stays for a topic that stays longer, without the rows of others; without such rows it is dropped', async () => {
    await keep('long', '240');
    await partitionOfThePast();
    await fill('default', 200);
    await fill('long', 200, 2);
    await settleAll(database);
    while ((await prune()) > 0);
    expect(await left()).toEqual({ long: 2 });
    expect(await names()).toContain('walpost.outbox_before');
    await keep('long', '190');
    while ((await prune()) > 0);
    expect(await left()).toEqual({});
    expect(await names()).not.toContain('walpost.outbox_before');
  });

  test('in a partition that stays, rows of a topic that stays shorter are removed', async () => {
    await keep('short', '1');
    await database.query('SELECT walpost.partition_outbox()');
    await fill('short', 2);
    await fill('default', 2);
    await settleAll(database);
    while ((await prune()) > 0);
    expect(await left()).toEqual({ default: 1 });
  });

  test.each([
    ['*', '24'],
    ['a', '-1'],
    ['a', '87601'],
    ['a', '"24"'],
  ])('refused: retention_hours of %s is %s', async (topic, value) => {
    await expect(keep(topic, value)).rejects.toMatchObject({ code: '23514' });
  });
});
