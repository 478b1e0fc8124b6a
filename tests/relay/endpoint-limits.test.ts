/** What an endpoint asks for itself on a real relay: its rate, two secrets while one replaces the other; and a lost slot. */
import { Webhook } from 'standardwebhooks';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';
import { type ReceivedRequest, WebhookReceiver } from '../support/webhook-receiver.ts';
import { Customers, EndpointReceiver } from './endpoint-scene.ts';

const X = '01a1f9c1-5e61-768b-8ff0-dabec930edd1';

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

const relay = (): Promise<RelayInProcess> =>
  RelayInProcess.start({
    database,
    sinks: { customers: { type: 'webhook', endpoints: true, allow_loopback: true } },
  });
const got = (endpoint: string): number[] => receiver.firsts().get(endpoint) ?? [];

test('max_per_second slows down its endpoint alone, and loses nothing', async () => {
  await using _running = await relay();
  const slow = await customers.add(X, ['*'], ', max_per_second => 5');
  const quick = await customers.add(X);
  const begun = performance.now();
  const numbers: number[] = [];
  for (let left = 20; left > 0; left--) numbers.push(await customers.publish(X));
  await receiver.has(quick, numbers);
  const [quickTook, slowHad] = [performance.now() - begun, got(slow).length];
  await receiver.has(slow, numbers);
  // One second's worth leaves at once, then five a second.
  expect(performance.now() - begun).toBeGreaterThan(2_900);
  expect(slowHad).toBeLessThanOrEqual(5 + Math.ceil(quickTook / 200));
  expect([got(slow), got(quick)]).toEqual([numbers, numbers]);
});

test('requests have both signatures while the overlap lasts, and then one', async () => {
  await using hook = await WebhookReceiver.start();
  await using _running = await relay();
  const [added] = await database.query<{ id: string; old: string }>(
    `SELECT endpoint_id::text AS id, secret AS old FROM walpost.add_endpoint('customers', $1, $2)`,
    [X, hook.url()],
  );
  const { id = '', old = '' } = added ?? {};
  const request = async (): Promise<ReceivedRequest> => {
    const before = hook.requests.length;
    await customers.publish(X);
    return poll('a request', async () => hook.requests[before], 20_000);
  };
  const signedBy = ({ headers, body }: ReceivedRequest, secrets: readonly string[]): boolean[] =>
    secrets.map((secret) => {
      try {
        return Boolean(new Webhook(secret).verify(body.toString(), headers as Record<string, string>));
      } catch {
        return false;
      }
    });

  expect(signedBy(await request(), [old])).toEqual([true]);
  const renewed = String(await customers.call('rotate_endpoint_secret($1, $2)', [id, '5 seconds']));
  expect(signedBy(await request(), [old, renewed])).toEqual([true, true]);
  await poll(
    'the overlap is over',
    async () => {
      const valid = await database.query(
        'SELECT FROM walpost.endpoint_secrets WHERE expires_at > clock_timestamp() - interval $$100 ms$$',
      );
      return valid.length === 0 || undefined;
    },
    20_000,
  );
  const last = await request();
  expect(signedBy(last, [old, renewed])).toEqual([false, true]);
  expect(String(last.headers['webhook-signature']).split(' ')).toHaveLength(1);
});

test('after a lost slot the rows go to the endpoints of now, and what comes to those of its time', async () => {
  const first = await relay();
  const [kept, removed] = [await customers.add(X), await customers.add(X)];
  const before = await customers.publish(X);
  await Promise.all([receiver.has(kept, [before]), receiver.has(removed, [before])]);
  await first.stop();

  await database.query('SELECT pg_drop_replication_slot($1)', [database.slotName]);
  const lost = await customers.publish(X);
  await customers.call('remove_endpoint($1)', [removed]);
  const added = await customers.add(X);
  await customers.move(kept);
  await using second = await relay();
  await Promise.all([receiver.has(kept, [lost]), receiver.has(added, [lost])]);
  await customers.call('disable_endpoint($1)', [added]);
  const after = await customers.publish(X);
  await receiver.has(kept, [after]);
  expect(got(kept)).toEqual([before, lost, after]);
  expect(got(removed)).toEqual([before]);
  expect(got(added).filter((n) => n >= lost)).toEqual([lost]);
  expect(receiver.faults).toEqual([]);
  expect(second.lines.join('')).not.toContain('"level":50');
});
