/** An event whose `expires_at` has passed is sent to no sink: of the stream, as a message, out of parking, and of jobs. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { EventReceiver } from '../e2e/event-receiver.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';

const ORGANIZATION = randomUUID();
const DETAIL = 'its expires_at has passed';

async function write(database: TestDatabase, how: 'publish' | 'emit', type: string, left: string): Promise<void> {
  const sql = `SELECT walpost.${how}($1, $2, '{}', expires_at => clock_timestamp() + $3::interval)`;
  await database.query(sql, [ORGANIZATION, type, left]);
}

const letters = (database: TestDatabase) =>
  database.query<{ event_type: string; reason: string; detail: string; dated: boolean }>(
    'SELECT event_type, reason, detail, expires_at IS NOT NULL AS dated FROM walpost.dead_letters ORDER BY id',
  );
const lettersOf = (...types: string[]) =>
  types.map((type) => ({ event_type: type, reason: 'expired', detail: DETAIL, dated: true }));

async function untilLetters(database: TestDatabase, count: number): Promise<void> {
  await poll('the dead letters are stored', async () => ((await letters(database)).length >= count ? true : undefined));
}

test('by the stream and by messages, out of parking, and again of a replay and of a redrive', async () => {
  await using database = await createTestDatabase();
  const types: string[] = [];
  let isWell = false;
  await using receiver = await EventReceiver.start(({ events }) => {
    if (!isWell) return 503;
    for (const { event_type: type } of events) types.push(type);
    return 204;
  });
  const delivery = { park_after: '100ms', quick_retries: 0, breaker: { reset_after: '100ms' } };
  const config = { delivery, batching: { window: '20ms' } };
  const source = { messages: true };
  await using _relay = await RelayInProcess.start({ database, sinks: { out: receiver.sink() }, config, source });
  await write(database, 'publish', 'parked.brief', '1 hour');
  await write(database, 'publish', 'parked.lasting', '1 hour');
  await poll('both are parked', async () => {
    const rows = await database.query(`SELECT FROM walpost.parked WHERE expires_at > '2026'`);
    return rows.length === 2 ? true : undefined;
  });
  await database.query(
    `UPDATE walpost.parked SET expires_at = '2026-01-01T00:00:00Z' WHERE event_type = 'parked.brief'`,
  );
  isWell = true;
  await write(database, 'publish', 'row.late', '-1 second');
  await write(database, 'emit', 'message.late', '-1 second');
  await write(database, 'emit', 'message.early', '1 hour');
  await poll('what is not late has arrived', async () => (types.includes('message.early') ? true : undefined));
  await untilLetters(database, 3);
  expect(types).toEqual(['parked.lasting', 'message.early']);
  expect((await letters(database)).toSorted((a, b) => a.event_type.localeCompare(b.event_type))).toEqual(
    lettersOf('message.late', 'parked.brief', 'row.late'),
  );

  await database.query(`UPDATE walpost.outbox SET expires_at = '2026-01-01' WHERE event_type LIKE 'parked.%'`);
  await database.query(`DELETE FROM walpost.dead_letters WHERE event_type <> 'message.late'`);
  await database.query(`INSERT INTO walpost.jobs (slot, kind) SELECT slot, 'replay' FROM walpost.cursor`);
  await untilLetters(database, 4);
  await database.query(`INSERT INTO walpost.jobs (slot, kind) SELECT slot, 'redrive' FROM walpost.cursor`);
  await poll('both jobs are done', async () => {
    const rows = await database.query(`SELECT FROM walpost.jobs WHERE state = 'done'`);
    return rows.length === 2 ? true : undefined;
  });
  expect(types).toEqual(['parked.lasting', 'message.early']);
  expect(await letters(database)).toHaveLength(4);
});
