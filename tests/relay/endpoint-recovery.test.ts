/** `walpost endpoints recover` with a real relay: what was missed is sent, in order, to that endpoint alone. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { configOf } from '../e2e/running-walpost.ts';
import { ConfigFile } from '../support/config-file.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';
import { type CliResult, walpost } from '../support/walpost-cli.ts';
import { Customers, EndpointReceiver } from './endpoint-scene.ts';

const X = '01a1f9c1-5e61-768b-8ff0-dabec930edd1';
const Y = '01a1f9c1-5e61-768b-8ff0-dabec930edd2';
const sinks = { customers: { type: 'webhook', endpoints: true, allow_loopback: true, timeout: '1s' } };

let database: TestDatabase;
let receiver: EndpointReceiver;
let customers: Customers;
let file: ConfigFile;
beforeEach(async () => {
  database = await createTestDatabase();
  receiver = await EndpointReceiver.start();
  customers = new Customers(database, receiver);
  await customers.prepare();
  file = new ConfigFile(JSON.stringify(configOf({ database, sinks })));
});
afterEach(async () => {
  file[Symbol.dispose]();
  await receiver[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const got = (endpoint: string): number[] => receiver.firsts().get(endpoint) ?? [];
/** Also what came twice. */
const all = (endpoint: string): number[] =>
  receiver.arrivals.filter((each) => each.endpoint === endpoint).map(({ n }) => n);
const recover = (endpoint: string, ...argv: string[]): Promise<CliResult> =>
  walpost(['endpoints', 'recover', endpoint, ...argv, '--config', file.path]);
const disable = (endpoint: string): Promise<unknown> => customers.call('disable_endpoint($1)', [endpoint]);

/** A checkpoint that sees every row of now. */
const checkpoint = (condition: string): Promise<true> =>
  poll(
    `a checkpoint: ${condition}`,
    async () => {
      const found = await database.query(
        `SELECT FROM walpost.checkpoints AS c
          WHERE ${condition} AND (SELECT bool_and(pg_visible_in_snapshot(o.created_xid, c.snapshot)) FROM walpost.outbox AS o)`,
      );
      return found.length > 0 || undefined;
    },
    20_000,
  );

const parkedCount = async (): Promise<number> => (await database.query('SELECT FROM walpost.parked')).length;

test('what was missed goes to it alone, in order, with what was under way when it was disabled', async () => {
  await using _running = await RelayInProcess.start({ database, sinks });
  const [missing, other] = [await customers.add(X), await customers.add(X)];
  const first = await customers.publish(X);
  await Promise.all([receiver.has(missing, [first]), receiver.has(other, [first])]);

  receiver.answers(missing, 'hang');
  const underWay = [await customers.publish(X)];
  await checkpoint('true'); // the next one is taken when this is settled
  underWay.push(await customers.publish(X));
  await disable(missing);
  const missed = [await customers.publish(X), await customers.publish(X)];
  await checkpoint('settled_at IS NOT NULL');
  receiver.answers(missing, 200);

  const recovered = await recover(missing, '--yes');
  expect(recovered).toMatchObject({ code: 0, stderr: '' });
  const last = await customers.publish(X);
  await Promise.all([receiver.has(missing, [last]), receiver.has(other, [last])]);
  expect(got(missing)).toEqual([first, ...underWay, ...missed, last]);
  expect(all(other)).toEqual([first, ...underWay, ...missed, last]);
  expect(receiver.faults).toEqual([]);
});

test('a relay that is behind comes to the enabling first, and sends what was missed then', async () => {
  const first = await RelayInProcess.start({ database, sinks });
  const endpoint = await customers.add(X);
  await disable(endpoint);
  const missed = [await customers.publish(X), await customers.publish(X)];
  await checkpoint('settled_at IS NOT NULL');
  await first.stop();

  await database.query(
    `SELECT walpost.publish($1, 'job.done', jsonb_build_object('text', repeat('x', 900))) FROM generate_series(1, 60000)`,
    [Y],
  );
  const asked = recover(endpoint, '--yes');
  await poll(
    'the job is there',
    async () => (await database.query('SELECT FROM walpost.jobs')).length > 0 || undefined,
  );
  await using _second = await RelayInProcess.start({ database, sinks });
  expect(await asked).toMatchObject({ code: 0, stderr: '' });
  await receiver.has(endpoint, missed);
  expect(got(endpoint)).toEqual(missed);
});

test('what was committed while no relay ran is missed too, and comes', async () => {
  const first = await RelayInProcess.start({ database, sinks });
  const endpoint = await customers.add(X);
  const before = await customers.publish(X);
  await receiver.has(endpoint, [before]);
  await checkpoint('settled_at IS NOT NULL');
  await first.stop();

  // The relay was idle when it stopped, so no checkpoint waits. Ten minutes later one more was committed, and then ten minutes passed.
  await database.query('DELETE FROM walpost.checkpoints WHERE settled_at IS NULL');
  const unread = await customers.publish(X);
  await database.query(`UPDATE walpost.checkpoints SET taken_at = taken_at - interval '20 minutes'`);
  await database.query(
    `UPDATE walpost.outbox SET created_at = created_at - interval '10 minutes' WHERE payload->>'n' = $1::text`,
    [String(unread)],
  );
  receiver.answers(endpoint, 503);
  await disable(endpoint);
  expect(
    await database.query(
      `SELECT missed_since < clock_timestamp() - interval '15 minutes' AS long FROM walpost.endpoints`,
    ),
  ).toEqual([{ long: true }]);
  await using _second = await RelayInProcess.start({ database, sinks });
  await checkpoint('settled_at IS NOT NULL');
  receiver.answers(endpoint, 200);

  expect(await recover(endpoint, '--yes')).toMatchObject({ code: 0, stderr: '' });
  const last = await customers.publish(X);
  await receiver.has(endpoint, [last]);
  expect(got(endpoint)).toEqual([before, unread, last]);
  expect(receiver.faults).toEqual([]);
});

test('what was parked after it was disabled, and is discarded at the next start, is missed too', async () => {
  const config = { delivery: { park_after: '500ms' } };
  const first = await RelayInProcess.start({ database, sinks, config });
  const endpoint = await customers.add(X, ['*'], ', max_per_second => 0.01');
  const sent = await customers.publish(X);
  await receiver.has(endpoint, [sent]);
  await checkpoint('settled_at IS NOT NULL');
  const other = await customers.add(X);
  const waits = [await customers.publish(X), await customers.publish(X)];
  await disable(endpoint);
  await receiver.has(other, waits); // so the relay has had them, and the end of the endpoint is next
  await poll('they are parked', async () => (await parkedCount()) === 2 || undefined, 20_000);
  await first.stop();

  await using _second = await RelayInProcess.start({ database, sinks, config });
  await poll('they are discarded', async () => (await parkedCount()) === 0 || undefined, 20_000);
  expect(all(endpoint)).toEqual([sent]);
  await customers.call(`update_endpoint($1, max_per_second => 1000)`, [endpoint]);
  expect(await recover(endpoint, '--yes')).toMatchObject({ code: 0, stderr: '' });
  await receiver.has(endpoint, waits);
  expect(got(endpoint)).toEqual([sent, ...waits]);
});

/** It was disabled two hours ago, and has missed three events an hour ago. */
async function missedLongAgo(endpoint: string): Promise<number[]> {
  await disable(endpoint);
  const missed = [await customers.publish(X), await customers.publish(X), await customers.publish(X)];
  await checkpoint('settled_at IS NOT NULL');
  await database.query(`UPDATE walpost.outbox SET created_at = created_at - interval '1 hour'`);
  await database.query(`UPDATE walpost.checkpoints SET taken_at = taken_at - interval '2 hours'`);
  await database.query(`UPDATE walpost.endpoints SET missed_since = missed_since - interval '2 hours'`);
  return missed;
}

test('one that is disabled while it recovers misses what the job has not sent, and what it has parked', async () => {
  const config = { delivery: { park_after: '500ms' } };
  await using _running = await RelayInProcess.start({ database, sinks, config });
  const endpoint = await customers.add(X);
  const missed = await missedLongAgo(endpoint);

  receiver.answers(endpoint, 503);
  await customers.call('enable_endpoint($1)', [endpoint]);
  const live = await customers.publish(X);
  await poll('the live one is parked, in front', async () => (await parkedCount()) === 1 || undefined, 20_000);
  expect(await recover(endpoint, '--yes')).toMatchObject({ code: 0, stderr: '' }); // the job has parked them
  expect(await parkedCount()).toBe(1 + missed.length + 1); // the live one again: it was committed before the job was planned
  await disable(endpoint);
  await poll('they are discarded', async () => (await parkedCount()) === 0 || undefined, 20_000);
  receiver.answers(endpoint, 200);
  expect(await recover(endpoint, '--yes')).toMatchObject({ code: 0, stderr: '' });
  await receiver.has(endpoint, [...missed, live]);
  expect(got(endpoint)).toEqual([...missed, live]);
});

test('one that is disabled while the job still runs misses what the job has not sent', async () => {
  await using _running = await RelayInProcess.start({ database, sinks });
  const endpoint = await customers.add(X);
  const missed = await missedLongAgo(endpoint);

  const asked = recover(endpoint, '--rate', '0.2', '--yes');
  await receiver.has(endpoint, missed.slice(0, 1));
  await poll('only the job knows of it', async () => {
    const found = await database.query(
      `SELECT FROM walpost.endpoints AS e CROSS JOIN walpost.jobs AS j WHERE e.missed_since IS NULL AND j.state = 'running'`,
    );
    return found.length > 0 || undefined;
  });
  // Else what is not settled would say since when as well.
  await customers.publish(X);
  await checkpoint(`settled_at IS NOT NULL AND taken_at > now() - interval '1 hour'`);
  await disable(endpoint);
  expect(await asked).toMatchObject({ code: 0 });
  expect(all(endpoint)).not.toContain(missed[2]);

  expect(await recover(endpoint, '--yes')).toMatchObject({ code: 0, stderr: '' });
  await receiver.has(endpoint, missed);
});

test('where rows are gone it is refused with the oldest time, which then works', async () => {
  await using _running = await RelayInProcess.start({ database, sinks });
  const endpoint = await customers.add(X);
  await disable(endpoint);
  await customers.publish(X);
  await checkpoint('settled_at IS NOT NULL');
  await database.query(`SELECT walpost.prune('0 seconds')`);

  const refused = await recover(endpoint, '--yes');
  expect(refused).toMatchObject({ code: 2, stdout: '' });
  const [, oldest = ''] = /Use --since (\S+), or a later time/.exec(refused.stderr) ?? [];
  expect(await database.query('SELECT state FROM walpost.endpoints')).toEqual([{ state: 'disabled' }]);
  expect(await recover(endpoint, '--since', oldest, '--yes')).toMatchObject({ code: 0, stderr: '' });
  const last = await customers.publish(X);
  await receiver.has(endpoint, [last]);
  expect(got(endpoint)).toEqual([last]);
});
