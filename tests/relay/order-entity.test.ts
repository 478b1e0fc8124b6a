/** `order: entity`: an entity whose events are refused holds up no other, and each keeps its order, also through kills. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { EventReceiver, type ReceivedBatch } from '../e2e/event-receiver.ts';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { poll } from '../support/slot-session.ts';
import { disorder } from './arrivals.ts';

const ORGANIZATION = randomUUID();
/** The empty name is none. */
const ENTITIES = ['sick', 'a', 'b', 'c', ''];
const CONFIG = {
  batching: { window: '10ms', max_events: 5 },
  delivery: { park_after: '100ms', quick_retries: 1, backoff: ['100ms'], breaker: { reset_after: '100ms' } },
  leader: { takeover_after: '1s' },
};

/** The next event of each entity, in one transaction. */
const PUBLISH = `
  INSERT INTO walpost.outbox (organization_id, event_type, entity_type, entity_id, payload)
  SELECT $1, 'thing.changed', 'thing', nullif(name, ''), jsonb_build_object('n', $3::integer)
    FROM unnest($2::text[]) AS name`;

async function publish(database: TestDatabase, from: number, to: number): Promise<void> {
  for (let n = from; n < to; n += 1) await database.query(PUBLISH, [ORGANIZATION, ENTITIES, n]);
}

test('an entity that is refused waits alone; each keeps its order through kills', { timeout: 120_000 }, async () => {
  await using database = await createTestDatabase();
  let isWell = false;
  const batches: ReceivedBatch[] = [];
  await using receiver = await EventReceiver.start((batch) => {
    if (!isWell && batch.events.some(({ entity_id: id }) => id === 'sick')) return 429; // 5xx would make its events dead letters, as others are accepted
    batches.push(batch);
    return 204;
  });
  const events = () => batches.flatMap((batch) => batch.events);
  const count = (entity: string): number =>
    new Set(events().flatMap(({ entity_id: id, event_id: event }) => ((id ?? '') === entity ? event : []))).size;
  const arrived = (n: number, entities = ENTITIES) =>
    poll(
      `${n} events of each have arrived`,
      async () => entities.every((each) => count(each) === n) || undefined,
      30_000,
    );
  const options = { database, sinks: { hook: receiver.sink({ order: 'entity' }) }, config: CONFIG };
  const well = ENTITIES.filter((name) => name !== 'sick');
  for (const turn of [1, 2, 3]) {
    await using walpost = await RunningWalpost.start(options);
    await publish(database, (turn - 1) * 20, turn * 20);
    await arrived(turn * 20, well);
    expect(count('sick')).toBe(0);
    await walpost.stop('SIGKILL');
  }
  isWell = true;
  await using _last = await RunningWalpost.start(options);
  await arrived(60);
  // Each entity stands for an organization here: its numbers begin at 0 and have no gap.
  const named = events().map((event) => ({ ...event, organization_id: event.entity_id ?? '' }));
  expect(disorder(named, new Map(ENTITIES.map((name) => [name, 60])))).toEqual([]);
  for (const batch of batches) expect(new Set(batch.events.map(({ entity_id: id }) => id)).size).toBe(1);
  await poll('no row is left', async () =>
    (await database.query('SELECT FROM walpost.parked')).length === 0 ? true : undefined,
  );
});
