/** Customers' endpoints: on a real Postgres, with real receivers. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';
import { Customers, EndpointReceiver } from './endpoint-scene.ts';

const X = '01a1f9c1-5e61-768b-8ff0-dabec930edd1';
const Y = '01a1f9c1-5e61-768b-8ff0-dabec930edd2';

let database: TestDatabase;
let receiver: EndpointReceiver;
let customers: Customers;
beforeEach(async () => {
  database = await createTestDatabase();
  receiver = await EndpointReceiver.start();
  customers = new Customers(database, receiver);
  await customers.prepare();
});
afterEach(async () => {
  await receiver[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const relay = (sink: object = {}, delivery: object = {}): Promise<RelayInProcess> =>
  RelayInProcess.start({
    database,
    sinks: { customers: { type: 'webhook', endpoints: true, allow_loopback: true, ...sink } },
    config: { delivery },
  });

const got = (endpoint: string): number[] => receiver.firsts().get(endpoint) ?? [];
const has = (endpoint: string, numbers: readonly number[]): Promise<void> => receiver.has(endpoint, numbers);
const parkedRows = (rows: number): Promise<true> =>
  poll(
    `${rows} parked`,
    async () => (await database.query('SELECT FROM walpost.parked')).length === rows || undefined,
    20_000,
  );

test('an endpoint gets what commits after it was added, and another customer gets nothing of it', async () => {
  await using _running = await relay();
  await customers.publish(X);
  const endpoint = await customers.add(X);
  const other = await customers.add(Y);
  const numbers = [await customers.publish(X), await customers.publish(X)];
  await has(endpoint, numbers);
  expect(got(endpoint)).toEqual(numbers);
  expect(got(other)).toEqual([]);
  expect(receiver.faults).toEqual([]);
});

test('endpoints that were added before the first start get what the first start sends, and what comes', async () => {
  const endpoint = await customers.add(X);
  const before = await customers.publish(X);
  await using _running = await relay();
  const after = await customers.publish(X);
  await has(endpoint, [before, after]);
  expect(receiver.faults).toEqual([]);
});

test('a paused endpoint gets its events, in order, when it is enabled; a disabled one gets none of its time', async () => {
  await using _running = await relay();
  const [paused, disabled] = [await customers.add(X), await customers.add(X)];
  const first = await customers.publish(X);
  await Promise.all([has(paused, [first]), has(disabled, [first])]);
  await customers.call('pause_endpoint($1)', [paused]);
  await customers.call('disable_endpoint($1)', [disabled]);
  const missed = [await customers.publish(X), await customers.publish(X)];
  await parkedRows(2);
  await customers.call('enable_endpoint($1)', [paused]);
  await customers.call('enable_endpoint($1)', [disabled]);
  const last = await customers.publish(X);
  await Promise.all([has(paused, [last]), has(disabled, [last])]);
  expect(got(paused)).toEqual([first, ...missed, last]);
  expect(got(disabled)).toEqual([first, last]);
  await parkedRows(0);
  expect(receiver.faults).toEqual([]);
});

test('disabling and removing discard what is parked', async () => {
  await using _running = await relay();
  const [disabled, removed] = [await customers.add(X), await customers.add(X)];
  for (const endpoint of [disabled, removed]) await customers.call('pause_endpoint($1)', [endpoint]);
  await customers.publish(X);
  await parkedRows(2);
  await customers.call('disable_endpoint($1)', [disabled]);
  await customers.call('remove_endpoint($1)', [removed]);
  await parkedRows(0);
  await customers.call('enable_endpoint($1)', [disabled]);
  const last = await customers.publish(X);
  await has(disabled, [last]);
  expect(got(disabled)).toEqual([last]);
  expect(await database.query('SELECT FROM walpost.dead_letters')).toEqual([]);
});

test('what was committed right before a removal still comes, signed; then the secrets go', async () => {
  const first = await relay();
  const [endpoint, other] = [await customers.add(X), await customers.add(X)];
  await first.stop();
  const before = await customers.publish(X);
  await customers.call('remove_endpoint($1)', [endpoint]);
  const after = await customers.publish(X);
  await using _second = await relay();
  await Promise.all([has(endpoint, [before]), has(other, [before, after])]);
  expect(got(endpoint)).toEqual([before]);
  expect(receiver.unsigned).toEqual([]);
  const secrets = () => database.query('SELECT endpoint_id FROM walpost.endpoint_secrets');
  await poll('the secrets are gone', async () => {
    await database.query('SELECT walpost.prune()');
    return (await secrets()).length === 1 || undefined;
  });
  expect(await secrets()).toEqual([{ endpoint_id: other }]);
});

test('one that hangs holds up no other of the same customer, and nothing of it is given up', async () => {
  await using _running = await relay({ timeout: '300ms' }, { unavailable_for: '1s', park_after: '500ms' });
  const [hangs, works] = [await customers.add(X), await customers.add(X)];
  receiver.answers(hangs, 'hang');
  const numbers: number[] = [];
  for (let round = 0; round < 5; round++) {
    numbers.push(await customers.publish(X));
    await has(works, numbers);
  }
  await parkedRows(5);
  receiver.answers(hangs, 200);
  await has(hangs, numbers);
  expect(got(hangs)).toEqual(numbers);
  expect(await database.query('SELECT FROM walpost.dead_letters')).toEqual([]);
});

test('a test event goes to its endpoint alone, whatever the patterns and the routes say', async () => {
  await using running = await relay();
  const [one, two] = [await customers.add(X, ['nothing.*']), await customers.add(X)];
  await customers.call('send_test_event($1)', [one]);
  await has(one, [-1]);
  const last = await customers.publish(X);
  await has(two, [last]);
  expect([got(one), got(two)]).toEqual([[-1], [last]]);
  expect(await database.query('SELECT FROM walpost.dead_letters')).toEqual([]);
  expect(running.lines.join('')).not.toContain('"level":50');
});

test('in a copy of the database nothing is sent until the endpoints are adopted, and then all of it, in order', async () => {
  const endpoint = await customers.add(X);
  await database.query(`UPDATE walpost.endpoint_installation SET system_identifier = 'of another cluster'`);
  await using running = await relay();
  const numbers = [await customers.publish(X), await customers.publish(X)];
  await parkedRows(2);
  expect(got(endpoint)).toEqual([]);
  expect(await running.service.status()).toMatchObject({ endpoints: { enabled: 1, silent: true } });
  await database.query('SELECT walpost_internal.adopt_endpoints()');
  await has(endpoint, numbers);
  expect(got(endpoint)).toEqual(numbers);
});

test('a failing endpoint is in the status by its host, and in the log once', async () => {
  await using running = await relay();
  const endpoint = await customers.add(X);
  receiver.answers(endpoint, 503);
  await customers.publish(X);
  const failing = await poll(
    'it is in the status',
    async () => {
      const { endpoints } = await running.service.status();
      return endpoints && endpoints.failing > 0 ? endpoints : undefined;
    },
    20_000,
  );
  const host = new URL(receiver.urlOf(endpoint, 0)).host;
  expect(failing.first).toMatchObject([{ endpoint, organizationId: X, host, sink: 'customers' }]);
  const lines = running.lines.filter((line) => line.includes('an endpoint of a customer fails'));
  expect(lines).toHaveLength(1);
  expect(lines[0]).toContain(host);
  expect(lines[0]).not.toContain(`/${endpoint}/`);
  const { failing: organizations, breakers } = await running.service.status();
  expect(organizations).toEqual([{ sink: 'customers', organizations: 0 }]);
  expect(breakers).toEqual([]); // it has none, so none is said to be closed
});

test('what was parked waits for changes that come again, where the slot is behind the cursor', async () => {
  const sink = { timeout: '60s' };
  const first = await relay(sink);
  const [moved, paused] = [await customers.add(X), await customers.add(X)];
  const holds = await customers.add(Y);
  receiver.answers(holds, 'hang');
  const held = await customers.publish(Y); // the slot begins here again
  for (const endpoint of [moved, paused]) await customers.call('pause_endpoint($1)', [endpoint]);
  const before = await customers.publish(X);
  await customers.move(moved);
  const after = await customers.publish(X);
  await parkedRows(4);
  await first[Symbol.asyncDispose]();

  // It ended after it had written the cursor, and before it told the slot.
  await database.query('UPDATE walpost.cursor SET lsn = pg_current_wal_lsn()');
  await customers.call('enable_endpoint($1)', [moved]);
  receiver.answers(holds, 200);
  await using _second = await relay(sink);
  const last = await customers.publish(X);
  await Promise.all([has(moved, [before, after, last]), has(holds, [held])]);
  expect(got(moved)).toEqual([before, after, last]);
  expect(receiver.faults).toEqual([]);
  expect(got(paused)).toEqual([]);
});

describe('an endpoint is disabled', () => {
  const stateOf = async (endpoint: string) =>
    (await database.query('SELECT state, state_reason FROM walpost.endpoints WHERE endpoint_id = $1', [endpoint]))[0];
  const isDisabled = (endpoint: string): Promise<object> =>
    poll(
      'it is disabled',
      async () => {
        const row = await stateOf(endpoint);
        return row?.['state'] === 'disabled' ? row : undefined;
      },
      30_000,
    );

  test('at once, when it says that it is gone', async () => {
    await using running = await relay();
    const [gone, works] = [await customers.add(X), await customers.add(X)];
    receiver.answers(gone, 410);
    const first = await customers.publish(X);
    expect(await isDisabled(gone)).toMatchObject({ state_reason: 'it answered 410 Gone' });
    expect(
      await database.query(
        `SELECT missed_since < clock_timestamp() AS missed, missed_since > clock_timestamp() - interval '5 minutes' AS lately
           FROM walpost.endpoints WHERE endpoint_id = $1`,
        [gone],
      ),
    ).toEqual([{ missed: true, lately: true }]);
    receiver.answers(gone, 200);
    const last = await customers.publish(X);
    await has(works, [first, last]);
    await parkedRows(0);
    expect(got(gone)).toEqual([]);
    expect(await database.query('SELECT FROM walpost.dead_letters')).toEqual([]);
    const told = running.lines.filter((line) => line.includes('an endpoint is disabled'));
    expect(told).toHaveLength(1);
    expect(JSON.parse(told[0] ?? '{}')).toMatchObject({ endpoint: gone, organizationId: X, sink: 'customers' });
    expect(told[0]).not.toContain(`/${gone}/`);
    const events = await database.query(
      `SELECT payload FROM walpost.outbox WHERE event_type = 'walpost.endpoint.disabled'`,
    );
    expect(events).toMatchObject([
      { payload: { endpoint_id: gone, sink: 'customers', reason: 'it answered 410 Gone' } },
    ]);
  });
});
