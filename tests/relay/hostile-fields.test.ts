/** Fields that a publisher chose to do harm, in a table of the application, whose columns are texts of any length. */
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addEndpoint } from '../support/endpoint-calls.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';
import { mappedSource } from '../support/mapped-source.ts';

const SOURCE = mappedSource({ topic: 'topic', created_at: 'made' });
const NASTY = { match: { event_type: '*.*.*.*.*.created' }, to: ['hook'] };

let database: TestDatabase;
let log: EventLog;
beforeEach(async () => {
  database = await createTestDatabase();
  await database.query(`CREATE SCHEMA shop;
    CREATE TABLE shop.outbox (id uuid, org uuid, kind text, topic text DEFAULT 'default', body json DEFAULT '{}', made text)`);
  log = await EventLog.start();
});
afterEach(async () => {
  await log[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

async function write(row: { kind?: string; topic?: string; made?: string | null }): Promise<string> {
  const id = randomUUID();
  const { kind = 'thing.made', topic = 'default', made = null } = row;
  await database.query('INSERT INTO shop.outbox (id, org, kind, topic, made) VALUES ($1, $2, $3, $4, $5)', [
    id,
    randomUUID(),
    kind,
    topic,
    made,
  ]);
  return id;
}

const letters = () =>
  database.query<{ id: string; reason: string; detail: string }>(
    'SELECT event_id AS id, reason, detail FROM walpost.dead_letters ORDER BY id',
  );

test('texts against a pattern with many stars delay nobody, and the leader leads on', { timeout: 90_000 }, async () => {
  const routes = [NASTY, { match: { topic: 'default' }, to: ['hook'] }];
  await using relay = await RelayInProcess.start({
    database,
    sinks: log.sinks,
    source: SOURCE,
    config: { routes, leader: { takeover_after: '3s' } },
  });
  await log.has([await write({})]);
  const dots = '.'.repeat(255);
  const begun = performance.now();
  const hostile = [];
  for (let n = 0; n < 20; n++) hostile.push(await write({ kind: `${n}${dots}` }));
  hostile.push(await write({ kind: '.'.repeat(1_000_000) }));
  hostile.push(await write({ kind: `${'.created'.repeat(125_000)}!` }));
  const other = await write({ kind: 'another.organization' });
  await log.has([other]);
  expect(performance.now() - begun).toBeLessThan(10_000);
  await log.has(hostile);
  expect(relay.service.readiness()).toMatchObject({ ready: true, role: 'leader' });
  expect(await database.query('SELECT epoch::integer FROM walpost.cursor')).toEqual([{ epoch: 1 }]);
  expect(relay.lines.filter((line) => /LEADERSHIP_LOST|CONNECTION_LOST/.test(line))).toEqual([]);
  await relay.stop();
});

test.each([
  '9999-12-31T23:59:59-00:01',
  '0001-01-01T00:00:00+00:01',
  '0000-01-01T00:00:00Z',
  '294277-01-01T00:00:00Z',
  'infinity',
  'yesterday\u0001\u202e',
])('a time that no server can store is a poison with a reason: %s', { timeout: 60_000 }, async (made) => {
  await using relay = await RelayInProcess.start({ database, sinks: log.sinks, source: SOURCE });
  const poison = await write({ made });
  const sound = await write({ made: '2026-11-20T14:00:00.5+02:00' });
  await log.has([sound]);
  await poll('it is a dead letter', async () => (await letters()).length > 0 || undefined);
  expect(await letters()).toEqual([
    { id: poison, reason: 'poison', detail: 'created_at (column "made") is not a time that RFC 3339 can say' },
  ]);
  await log.has([await write({})]);
  await relay.stop();
});

test('nothing is kept of an address that is refused', { timeout: 60_000 }, async () => {
  const organization = randomUUID();
  await addEndpoint(database, organization);
  // As if the name of the host led inside by now.
  const inside = `https://127.0.0.1:${new URL((log.receiver.sink() as { url: string }).url).port}/in`;
  for (const table of ['endpoints', 'endpoint_changes'])
    await database.query(`UPDATE walpost.${table} SET url = $1`, [inside]);
  const sinks = { hooks: { type: 'webhook', endpoints: true } };
  const config = { delivery: { log: 'all', max_attempts: 1, quick_retries: 0, backoff: ['100ms'] } };
  await using relay = await RelayInProcess.start({ database, sinks, config });
  await database.query(`SELECT walpost.publish($1, 'thing.made', '{}')`, [organization]);
  const kept = () =>
    database.query<{ reason: string; answer: string | null }>(`
      SELECT reason, answer FROM walpost.delivery_log UNION SELECT detail, answer FROM walpost.dead_letters
      UNION SELECT reason, answer FROM walpost.lanes`);
  const found = await poll('it is told', async () => ((await kept()).length > 0 ? kept() : undefined));
  for (const { reason, answer } of found) {
    expect(answer).toBeNull();
    expect(reason).toContain('private address');
  }
  expect(log.receiver.count).toBe(0);
  await relay.stop();
});
