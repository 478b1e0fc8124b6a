import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { EventReceiver } from '../e2e/event-receiver.ts';
import { FirstArrivals } from '../e2e/outage-load.ts';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { createTestDatabase } from '../support/database.ts';
import { poll, untilFree } from '../support/slot-session.ts';

test('what was parked behind a batch that hung does not come before it when the slot is lost', async () => {
  await using database = await createTestDatabase();
  const organization = randomUUID();
  const arrivals = new FirstArrivals();
  await using receiver = await EventReceiver.start(() => new Promise(() => undefined));
  const options = {
    database,
    sinks: { hook: receiver.sink() },
    config: { delivery: { park_after: '300ms', timeout: '60s' } },
  };
  const publish = (n: number): Promise<unknown> =>
    database.query(`SELECT walpost.publish($1, 'a.b', jsonb_build_object('n', $2::int))`, [organization, n]);
  const parked = async (): Promise<true | undefined> =>
    (await database.query('SELECT FROM walpost.parked')).length === 2 || undefined;
  {
    await using first = await RunningWalpost.start(options);
    await publish(0);
    await poll('the first hangs', async () => receiver.requests === 1 || undefined);
    await publish(1);
    await publish(2);
    await poll('what is behind it is parked', parked);
    first.cli.child.kill('SIGKILL');
    await first.cli.result();
  }
  await untilFree(database);
  await database.query('SELECT pg_drop_replication_slot($1)', [database.slotName]);
  receiver.onBatch = arrivals.take;
  await using second = await RunningWalpost.start(options);
  await publish(3);
  await poll('all has arrived', async () => arrivals.count === 4 || arrivals.faults.length > 0 || undefined);
  expect(arrivals.faults).toEqual([]);
  expect((await second.stop()).code).toBe(0);
});
