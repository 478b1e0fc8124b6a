/** `redact_when_settled`: what is left of an event once every sink has it, and that nothing sends the rest. */
import { randomUUID } from 'node:crypto';
import type pg from 'pg';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { countLetters } from '../../src/jobs/dead-letter-count.ts';
import { countOutbox } from '../../src/jobs/outbox-count.ts';
import { OutboxScan } from '../../src/jobs/outbox-scan.ts';
import { PageTicket } from '../../src/jobs/page-ticket.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { inTransaction } from '../../src/postgres/transaction.ts';
import { outboxTable } from '../../src/relay/outbox-reader.ts';
import { type TestDatabase, createTestDatabase } from '../support/database.ts';
import { settleAll } from '../support/settled-checkpoint.ts';

const ORGANIZATION = randomUUID();
const SOURCE = outboxTable({ table: 'walpost.outbox', preset: 'walpost', columns: {} } as never);
const EVERYTHING = { afterSnapshot: null, beforeXid: null, filter: {} };

let database: TestDatabase;
let pool: pg.Pool;
beforeEach(async () => {
  database = await createTestDatabase();
  pool = createPool(database.url, { applicationName: 'test', max: 1 });
});
afterEach(async () => {
  await pool.end();
  await database[Symbol.asyncDispose]();
});

const redact = (topic: string, value = 'true') =>
  database.query(
    `INSERT INTO walpost.settings (name, topic, value) VALUES ('redact_when_settled', $1, $2::jsonb)
     ON CONFLICT (name, topic) DO UPDATE SET value = excluded.value`,
    [topic, value],
  );
const publish = (topic: string, count = 1) =>
  database.query(
    `SELECT walpost.publish($1, 'a', '{"link": "secret"}', topic => $2, headers => '{"h": "secret"}') FROM generate_series(1, $3)`,
    [ORGANIZATION, topic, count],
  );
const prune = async (batch = 5_000): Promise<number> =>
  Number((await database.query<{ n: string }>(`SELECT walpost.prune('72 hours', $1) AS n`, [batch]))[0]?.n);
/** Topics and how many of their rows are whole. */
const whole = async (): Promise<Record<string, number>> => {
  const rows = await database.query<{ topic: string; n: number }>(
    `SELECT topic, (count(*) FILTER (WHERE redacted_at IS NULL))::int AS n FROM walpost.outbox GROUP BY topic`,
  );
  return Object.fromEntries(rows.map(({ topic, n }) => [topic, n]));
};

test('payload and headers go once the row is settled, not before, and only of the topics that ask for it', async () => {
  await redact('mail');
  await publish('mail', 2);
  await publish('jobs');
  expect([await prune(), await whole()]).toEqual([0, { mail: 2, jobs: 1 }]);
  await settleAll(database);
  expect([await prune(), await prune(), await whole()]).toEqual([2, 0, { mail: 0, jobs: 1 }]);
  const rows = await database.query(
    `SELECT topic, payload::text, headers::text, redacted_at > created_at AS late FROM walpost.outbox ORDER BY seq DESC LIMIT 2`,
  );
  expect(rows).toEqual([
    { topic: 'jobs', payload: '{"link": "secret"}', headers: '{"h": "secret"}', late: null },
    { topic: 'mail', payload: 'null', headers: '{}', late: true },
  ]);
  await publish('mail');
  expect([await prune(), await whole()]).toEqual([0, { mail: 1, jobs: 1 }]);
  await settleAll(database);
  expect(await prune()).toBe(1);
});

test('a batch at a time, also within one transaction; and what was written before the setting', async () => {
  await publish('mail', 7);
  await publish('other', 2);
  await settleAll(database);
  await redact('*');
  await redact('other', 'false');
  expect([await prune(3), await prune(3), await prune(3), await prune(3)]).toEqual([3, 3, 1, 0]);
  expect(await whole()).toEqual({ mail: 0, other: 2 });
  await redact('other');
  expect([await prune(), await whole()]).toEqual([2, { mail: 0, other: 0 }]);
  await redact('*', 'false');
  await publish('mail');
  await settleAll(database);
  await prune();
  await redact('*');
  expect([await prune(), await whole()]).toEqual([1, { mail: 0, other: 0 }]);
});

test('a row of a transaction that was open at the checkpoint waits for the next one, and holds back no other', async () => {
  await redact('mail');
  const open = await database.client();
  await open.query('BEGIN');
  await open.query(`SELECT walpost.publish($1, 'open', '1', topic => 'mail')`, [ORGANIZATION]);
  await publish('mail');
  await settleAll(database);
  await open.query('COMMIT');
  expect(await prune()).toBe(1);
  const ofOpen = `SELECT redacted_at FROM walpost.outbox WHERE event_type = 'open'`;
  expect(await database.query(ofOpen)).toEqual([{ redacted_at: null }]);
  await settleAll(database);
  await prune();
  expect(await whole()).toEqual({ mail: 0 });
});

test('while a heal or a replay has still to read the outbox nothing is redacted', async () => {
  await redact('mail');
  await publish('mail');
  await settleAll(database);
  await database.query(`INSERT INTO walpost.jobs (slot, kind) VALUES ('test', 'replay')`);
  expect([await prune(), await whole()]).toEqual([0, { mail: 1 }]);
  await database.query(`UPDATE walpost.jobs SET state = 'done', ended_at = now()`);
  expect(await prune()).toBe(1);
});

test('a job sends no redacted row, and the count says how many it leaves out', async () => {
  await redact('mail');
  await publish('mail', 3);
  await publish('jobs', 2);
  await settleAll(database);
  await prune();
  const routing = { routes: [{ match: {}, to: ['out'] }], sinks: ['out'] };
  expect(await countOutbox(pool, SOURCE, { ...EVERYTHING, routing })).toMatchObject({ events: 2, redacted: 3 });
  const filter = { topic: 'jobs' };
  expect(await countOutbox(pool, SOURCE, { ...EVERYTHING, filter, routing })).toMatchObject({ events: 2, redacted: 0 });
  const scan = new OutboxScan({ ...EVERYTHING, source: SOURCE, inTransaction: (work) => inTransaction(pool, work) });
  const page = await scan.read(null, new PageTicket('replay-1', 0), { maxRows: 100, maxBytes: 1e6 });
  expect(page.items.map(({ item }) => item)).toEqual([
    expect.objectContaining({ kind: 'event', topic: 'jobs' }),
    expect.objectContaining({ kind: 'event', topic: 'jobs' }),
  ]);
});

test('expired dead letters are redacted and no redrive takes them; others keep what a person may need', async () => {
  await redact('mail');
  await settleAll(database);
  await database.query(
    `INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, attempts, topic, payload, headers)
     SELECT 'test', '1', 1, 'out', reason, '-', 1, topic, '{"link": "secret"}', '{"h": 1}'
       FROM unnest('{expired,expired,rejected}'::text[], '{mail,jobs,mail}'::text[]) AS l (reason, topic)`,
  );
  expect([await prune(), await prune()]).toEqual([1, 0]);
  const rows = await database.query(
    'SELECT reason, topic, payload, headers FROM walpost.dead_letters WHERE redacted_at IS NOT NULL',
  );
  expect(rows).toEqual([{ reason: 'expired', topic: 'mail', payload: 'null', headers: '{}' }]);
  const spec = {};
  const count = await countLetters(
    pool,
    { slot: 'test', spec },
    { routes: [{ match: {}, to: ['out'] }], sinks: ['out'] },
  );
  expect(count.letters).toBe(2);
});

test('the daily partitions of an outbox are redacted too', async () => {
  await redact('mail');
  await publish('mail');
  await database.query('SELECT walpost.partition_outbox()');
  await settleAll(database);
  await prune();
  await prune();
  expect(await whole()).toEqual({ mail: 0 });
});

test('the setting is true or false', async () => {
  await expect(redact('mail', '"yes"')).rejects.toMatchObject({ constraint: 'settings_redact_when_settled' });
});
