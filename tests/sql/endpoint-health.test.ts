/** What operators and customers see of endpoints that fail. */
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createRole } from '../support/database-role.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addEndpoint, workFor } from '../support/endpoint-calls.ts';
import { settleAll } from '../support/settled-checkpoint.ts';

const organization = randomUUID();
let database: TestDatabase;
let id: string;
beforeEach(async () => {
  database = await createTestDatabase();
  ({ id } = await addEndpoint(database, organization, 'https://Hooks.example.com/s3cr3t'));
  await settleAll(database);
});
afterEach(() => database[Symbol.asyncDispose]());

const fail = (lane: string, since = '2 hours', sink = 'hooks') =>
  database.query(
    `INSERT INTO walpost.lanes (slot, sink, organization_id, lane, state, failing_since, attempts, code, reason, answer)
     VALUES ('test', $3, $1, $2, 'failing', now() - $4::interval, 7, '500', 'the destination answered 500', 'its own words')`,
    [organization, lane, sink, since],
  );
const park = (lane: string, count: number) =>
  database.query(
    `INSERT INTO walpost.parked (slot, epoch, sink, organization_id, lane, history, order_lsn, order_job, place, commit_lsn, ordinal, event_id,
       event_type, event_version, topic, payload, headers, size, received_at)
     SELECT 'test', 1, 'hooks', $1, $2, 0, '0/1', false, n, '0/1', n, gen_random_uuid(), 'a', 1, 't', '{}', '{}', 1, now() - interval '1 hour'
       FROM generate_series(1, $3) AS n`,
    [organization, lane, count],
  );
const bury = (lane: string, count: number) =>
  database.query(
    `INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, lane, reason, detail, attempts, organization_id)
     SELECT 'test', '1', 1, 'hooks', $2, 'failed', 'x', 1, $1 FROM generate_series(1, $3)`,
    [organization, lane, count],
  );
const alerts = async () =>
  (
    await database.query<{ name: string }>(`SELECT name FROM walpost.alerts WHERE name NOT LIKE 'slot%' ORDER BY 1`)
  ).map(({ name }) => name);

test('the view has a row for each endpoint: its state, why it fails, and what waits, without the path of its URL', async () => {
  await fail(id);
  await park(id, 150);
  const rows = await database.query('SELECT * FROM walpost.endpoint_health');
  expect(rows).toEqual([
    expect.objectContaining({
      endpoint_id: id,
      organization_id: organization,
      host: 'hooks.example.com',
      state: 'enabled',
      attempts: 7,
      reason: 'the destination answered 500',
      parked: '100',
      parked_more: true,
    }),
  ]);
  expect(JSON.stringify(rows)).not.toMatch(/s3cr3t|its own words/);
});

test('a reader sees those of its organization', async () => {
  await using role = await createRole(database, { in: ['walpost_reader'] });
  const client = await role.client();
  const seen = async (as: string) => {
    await workFor(client, as);
    return (await client.query('SELECT endpoint_id FROM walpost.endpoint_health')).rows;
  };
  expect(await seen(organization)).toEqual([{ endpoint_id: id }]);
  expect(await seen(randomUUID())).toEqual([]);
});

test('failing endpoints are an alert of their own, and none of the dead letters or of waiting events', async () => {
  await database.query(`UPDATE walpost.settings SET value = '0' WHERE name = 'alert_failing_endpoints'`);
  await park(id, 150);
  await bury(id, 20);
  expect(await alerts()).toEqual([]);
  await fail(id);
  expect(await alerts()).toEqual(['failing_endpoints']);
  expect(
    await database.query(
      `SELECT severity, subject, value::int, message FROM walpost.alerts WHERE name = 'failing_endpoints'`,
    ),
  ).toEqual([
    {
      severity: 'warning',
      subject: 'sink hooks',
      value: 1,
      message: 'endpoints of customers have failed for more than 60 minutes',
    },
  ]);
  await database.query('SELECT walpost.disable_endpoint($1)', [id]);
  expect(await alerts()).toEqual([]);
});

test('lanes that are none of an endpoint, whatever their name, are for the operator as before', async () => {
  const event = randomUUID();
  await park(event, 150);
  await bury(event, 20);
  await fail(event, '2 hours', 'mail');
  expect(await alerts()).toEqual(['dead_letters', 'failing_organizations', 'oldest_undelivered', 'waiting']);
});

test('ten endpoints may fail before anybody is told, and an hour has to pass', async () => {
  await fail(id, '50 minutes');
  for (let more = 0; more < 10; more++) await fail((await addEndpoint(database, organization)).id);
  expect(await alerts()).toEqual([]);
  await database.query(`UPDATE walpost.lanes SET failing_since = now() - interval '61 minutes'`);
  expect(await alerts()).toEqual(['failing_endpoints']);
});

test('in a copy an alert says that endpoints get nothing', async () => {
  await database.query(`UPDATE walpost.endpoint_installation SET system_identifier = '1'`);
  expect(await alerts()).toEqual(['endpoints_silent']);
});
