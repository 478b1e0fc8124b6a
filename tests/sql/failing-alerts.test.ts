/** Who is told of organizations whose deliveries fail, are refused or are blocked: walpost.alerts, from walpost.lanes. */
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { readAlerts } from '../../src/relay/status/alerts.ts';
import { createRole } from '../support/database-role.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addEndpoint } from '../support/endpoint-calls.ts';
import { settleAll } from '../support/settled-checkpoint.ts';

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
  await settleAll(database);
});
afterEach(() => database[Symbol.asyncDispose]());

interface Failing {
  readonly organization?: string;
  readonly lane?: string;
  readonly sink?: string;
  readonly state?: string;
  readonly seconds?: number;
  readonly code?: string;
  readonly reason?: string;
}

const fail = (lane: Failing = {}) =>
  database.query(
    `INSERT INTO walpost.lanes (slot, sink, organization_id, lane, state, failing_since, attempts, code, reason, answer, next_try_at)
     SELECT slot, $1, $2, $3, $4, coalesce(clock_timestamp() - make_interval(secs => $7), '2026-01-02 03:04:05+00'), 7, $5, $6,
            'its own words', '2026-01-02 03:14:05+00' FROM walpost.cursor`,
    [
      lane.sink ?? 'crm',
      lane.organization ?? randomUUID(),
      lane.lane ?? '',
      lane.state ?? 'failing',
      lane.code ?? 'HTTP_503',
      lane.reason ?? 'the destination answered 503',
      lane.seconds ?? null,
    ],
  );
const NAMES = ['failing_organizations', 'refusing_organizations', 'blocked_organizations'];
const alerts = async () => {
  const pool = { query: async (sql: string) => ({ rows: await database.query(sql) }) };
  const all = await readAlerts(pool as unknown as Parameters<typeof readAlerts>[0]);
  return all.filter(({ name }) => NAMES.includes(name));
};

test('an organization that fails is named with its tries, its next try and the reason', async () => {
  const organization = randomUUID();
  await fail({ organization });
  await fail({ organization, lane: 'order 7' }); // one organization, however many of its lanes fail
  expect(await alerts()).toEqual([
    {
      name: 'failing_organizations',
      severity: 'warning',
      subject: 'sink crm',
      message:
        `1 organization whose deliveries fail, since 2026-01-02 03:04:05 UTC: ${organization}, 7 failed, ` +
        'next try 2026-01-02 03:14:05 UTC: the destination answered 503',
      remedy:
        'Mend the receiver: `walpost status` says how. Delivery then goes on by itself, in order; `walpost parked retry --sink crm` skips the wait.',
    },
  ]);
  await database.query('DELETE FROM walpost.lanes');
  expect(await alerts()).toEqual([]);
});

test('of many the three that have failed longest are named, each id whole; what waits behind a breaker comes last', async () => {
  const [first, second, third] = [randomUUID(), randomUUID(), 'x'.repeat(300)];
  await fail({ code: 'BREAKER_OPEN', reason: 'the circuit breaker is open' });
  await fail({ organization: third, seconds: 100, reason: `${'long '.repeat(100)}end` });
  await fail({ organization: second, seconds: 200 });
  await fail({ organization: first, seconds: 300 });
  for (let n = 0; n < 5_000; n += 1000) {
    await database.query(
      `INSERT INTO walpost.lanes (slot, sink, organization_id, state, failing_since, attempts, code, reason)
       SELECT slot, 'crm', gen_random_uuid()::text, 'failing', clock_timestamp() - interval '20 seconds', 1, 'HTTP_503', 'no' FROM walpost.cursor, generate_series(1, 1000)`,
    );
  }
  const [alert, ...others] = await alerts();
  expect(others).toEqual([]);
  const message = alert?.message ?? '';
  expect(message).toMatch(
    /^5004 organizations whose deliveries fail, since 2026-01-02 03:04:05 UTC: .+; and 5001 more$/,
  );
  expect([first, second, third].map((id) => message.indexOf(id))).toEqual(
    [first, second, third].map((id) => message.indexOf(id)).toSorted((a, b) => a - b),
  );
  expect(message).toContain(third);
  expect(message.match(/next try|, 1 failed/g)).toHaveLength(3);
  expect(message).not.toContain('breaker');
  expect(message.length).toBeLessThan(1_500);
});

test('what the next tries mend is no alert: it has to fail for ten seconds, or as the setting says', async () => {
  await fail({ seconds: 8 });
  expect(await alerts()).toEqual([]);
  await database.query(`INSERT INTO walpost.settings (name, value) VALUES ('alert_failing_seconds', '5')`);
  expect(await alerts()).toHaveLength(1);
});

test('a lane that refuses and one that a dead letter blocks have alerts of their own, with what mends them', async () => {
  const [refusing, blocked] = [randomUUID(), randomUUID()];
  await fail({ organization: refusing, state: 'refusing', reason: 'the destination answered 422' });
  await database.query(
    `INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, answer, attempts, organization_id, payload, blocks)
     SELECT slot, '1', 1, 'crm', 'failed', 'x', 'its own words', 3, $1, '{"a": "payload"}', true FROM walpost.cursor`,
    [blocked],
  );
  const found = await alerts();
  expect(found.map(({ name, subject }) => [name, subject])).toEqual([
    ['refusing_organizations', 'sink crm'],
    ['blocked_organizations', 'sink crm'],
  ]);
  expect(found[0]).toMatchObject({
    message: expect.stringMatching(`^1 organization whose receiver refuses every event, .*${refusing}, 7 failed.*422$`),
    remedy: expect.stringContaining('walpost parked discard'),
  });
  expect(found[1]).toMatchObject({
    message: expect.stringMatching(`^1 organization blocked by a dead letter, .*${blocked}: dead letter 1$`),
    remedy: expect.stringContaining('walpost dead-letters redrive --sink crm'),
  });
  expect(JSON.stringify(found)).not.toMatch(/its own words|a payload/);
  await database.query('UPDATE walpost.dead_letters SET blocks = false');
  await database.query('DELETE FROM walpost.lanes');
  expect(await alerts()).toEqual([]);
});

test('none of what is paused, of endpoints, or of a slot that no relay has', async () => {
  const organization = randomUUID();
  await fail({ sink: 'hooks', organization, lane: (await addEndpoint(database, organization)).id });
  await fail({ sink: 'mail' });
  await fail({ sink: 'crm', organization });
  const pause = (sink: string, of: string) =>
    database.query(
      `INSERT INTO walpost.lanes (slot, sink, organization_id, lane, state, paused_by, paused_at)
       SELECT slot, $1, $2, 'x', 'paused', 'ann', now() FROM walpost.cursor`,
      [sink, of],
    );
  expect((await alerts()).map(({ subject }) => subject)).toEqual(['sink crm', 'sink mail']);
  await pause('mail', '');
  expect((await alerts()).map(({ subject }) => subject)).toEqual(['sink crm']);
  await pause('crm', organization);
  expect(await alerts()).toEqual([]);
  await fail({ sink: 'other' });
  expect(await alerts()).toHaveLength(1);
  await database.query(`UPDATE walpost.lanes SET slot = 'of nobody'`);
  expect(await alerts()).toEqual([]);
});

test('an operator who is no superuser reads them', async () => {
  const organization = randomUUID();
  await fail({ organization });
  await using role = await createRole(database, { in: ['walpost_operator'] });
  const client = await role.client();
  const { rows } = await client.query<{ message: string }>(
    `SELECT message FROM walpost.alerts WHERE name = 'failing_organizations'`,
  );
  expect(rows[0]?.message).toContain(organization);
});
