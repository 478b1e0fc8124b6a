/** What is older than `max_age` of its sink is never sent: of the stream, and out of parking. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { EventReceiver } from '../e2e/event-receiver.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';

const ORGANIZATION = randomUUID();

async function publish(database: TestDatabase, type: string, age: string): Promise<void> {
  await database.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload, created_at)
     VALUES ($1, $2, '{}', clock_timestamp() - $3::interval)`,
    [ORGANIZATION, type, age],
  );
}

const letters = (database: TestDatabase) =>
  database.query<{ event_type: string; reason: string; detail: string; blocks: boolean }>(
    'SELECT event_type, reason, detail, blocks FROM walpost.dead_letters ORDER BY id',
  );

const count = async (database: TestDatabase, table: string): Promise<number> =>
  Number((await database.query<{ n: string }>(`SELECT count(*) AS n FROM walpost.${table}`))[0]?.n);

test('old events are dead letters, also those that were parked before, and block no lane', async () => {
  await using database = await createTestDatabase();
  const types = new Set<string>(); // after a restart one may come twice
  let isWell = false;
  await using receiver = await EventReceiver.start(({ events }) => {
    if (!isWell) return 503;
    for (const { event_type: type } of events) types.add(type);
    return 204;
  });
  const delivery = {
    park_after: '100ms',
    quick_retries: 0,
    on_dead_letter: 'block',
    breaker: { reset_after: '100ms' },
  };
  const config = { delivery, batching: { window: '20ms' } };
  {
    await using _relay = await RelayInProcess.start({ database, sinks: { out: receiver.sink() }, config });
    await publish(database, 'parked.old', '1 hour');
    await publish(database, 'parked.young', '0');
    await poll('both are parked', async () => ((await count(database, 'parked')) === 2 ? true : undefined));
  }
  isWell = true;
  const sinks = { out: receiver.sink({ max_age: '10m' }) };
  await using _next = await RelayInProcess.start({ database, sinks, config });
  await publish(database, 'stream.old', '11 minutes');
  await publish(database, 'stream.young', '0');
  await poll('the young ones have arrived', async () => (types.has('stream.young') ? true : undefined));
  expect([...types]).toEqual(['parked.young', 'stream.young']);
  const detail = 'older than max_age, which is 600 s';
  await poll('both old ones are stored', async () => ((await letters(database)).length === 2 ? true : undefined));
  expect(await letters(database)).toEqual([
    { event_type: 'parked.old', reason: 'expired', detail, blocks: false },
    { event_type: 'stream.old', reason: 'expired', detail, blocks: false },
  ]);
  await poll('no row is left', async () => ((await count(database, 'parked')) === 0 ? true : undefined));
});
