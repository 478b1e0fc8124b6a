/** Any role may notify any channel: what a notification says must not make walpost send, or look again and again. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createRole } from '../support/database-role.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';
import { WebhookReceiver } from '../support/webhook-receiver.ts';

const ORGANIZATION = '01a1f9c1-5e61-768b-8ff0-dabec930edd1';
let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(() => database[Symbol.asyncDispose]());

const parked = (): Promise<true> =>
  poll('it is parked', async () =>
    (await database.query('SELECT FROM walpost.parked')).length > 0 ? true : undefined,
  );
/** Reads of a table so far. */
async function reads(table: string): Promise<number> {
  const [row] = await database.query<{ reads: string }>(
    `SELECT (seq_scan + coalesce(idx_scan, 0))::text AS reads FROM pg_stat_user_tables WHERE relid = $1::regclass`,
    [table],
  );
  return Number(row?.reads ?? 0);
}

test('a flood of them sends nothing before the time that the destination asked for', { timeout: 60_000 }, async () => {
  await using receiver = await WebhookReceiver.start();
  receiver.otherwise = { kind: 'answer', status: 503, headers: { 'retry-after': '3600' } };
  await using relay = await RelayInProcess.start({
    database,
    sinks: { hook: { type: 'webhook', url: receiver.url(), allow_private: true } },
    config: { delivery: { park_after: '100ms', quick_retries: 0 } },
  });
  await database.query(`SELECT walpost.publish($1, 'a', '{}')`, [ORGANIZATION]);
  await parked();
  const before = receiver.requests.length;
  const [jobs, requests] = [await reads('walpost.jobs'), await reads('walpost.retry_requests')];

  await using stranger = await createRole(database);
  const session = await stranger.client();
  const lane = { slot: database.slotName, retry: true, sink: 'hook', organization: ORGANIZATION };
  const begun = performance.now();
  await poll('two seconds of notifications', async () => {
    await session.query(
      `SELECT pg_notify('walpost_wake', $1), pg_notify('walpost_wake', $2), pg_notify('walpost_jobs', $2)`,
      [JSON.stringify(lane), database.slotName],
    );
    return performance.now() - begun > 2_000 || undefined;
  });
  expect(receiver.requests.length).toBe(before);
  await poll(
    'statistics are written',
    async () => ((await reads('walpost.retry_requests')) > requests ? true : undefined),
    20_000,
  );
  expect((await reads('walpost.retry_requests')) - requests).toBeLessThan(8);
  expect((await reads('walpost.jobs')) - jobs).toBeLessThan(16);
  await relay.stop();
});

test(
  'a request that is stored needs the right of an operator, and is served and removed',
  { timeout: 60_000 },
  async () => {
    await using receiver = await WebhookReceiver.start();
    receiver.otherwise = { kind: 'answer', status: 503, headers: { 'retry-after': '3600' } };
    await using relay = await RelayInProcess.start({
      database,
      sinks: { hook: { type: 'webhook', url: receiver.url(), allow_private: true } },
      config: { delivery: { park_after: '100ms', quick_retries: 0 } },
    });
    await database.query(`SELECT walpost.publish($1, 'a', '{}')`, [ORGANIZATION]);
    await parked();
    const before = receiver.requests.length;
    const ask = `INSERT INTO walpost.retry_requests (slot, sink, organization_id) VALUES ($1, 'hook', $2)`;
    for (const group of ['walpost_publisher', 'walpost_reader']) {
      await using role = await createRole(database, { in: [group] });
      const denied = (await role.client()).query(ask, [database.slotName, ORGANIZATION]);
      await expect(denied).rejects.toMatchObject({ code: '42501' });
    }
    await using operator = await createRole(database, { in: ['walpost_operator'] });
    await (await operator.client()).query(ask, [database.slotName, ORGANIZATION]);
    await poll('it is tried', async () => receiver.requests.length > before || undefined);
    await poll(
      'the request is gone',
      async () => (await database.query('SELECT FROM walpost.retry_requests')).length === 0 || undefined,
    );
    await relay.stop();
  },
);
