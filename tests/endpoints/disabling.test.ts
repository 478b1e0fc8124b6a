import { afterEach, beforeEach, expect, test } from 'vitest';
import { EndpointDirectory } from '../../src/endpoints/directory.ts';
import { EndpointDisabling } from '../../src/endpoints/disabling.ts';
import { endpointsNow } from '../../src/endpoints/endpoint-rows.ts';
import { createLog } from '../../src/observe/log.ts';
import type { FailingLane } from '../../src/pipeline.ts';
import { newPool } from '../support/client.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addEndpoint } from '../support/endpoint-calls.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { poll } from '../support/slot-session.ts';

const X = '01a1f9c1-5e61-768b-8ff0-dabec930edd1';
const DAY = 24 * 3_600_000;

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(() => database[Symbol.asyncDispose]());

const stateOf = async (id: string) =>
  (await database.query('SELECT state, state_reason FROM walpost.endpoints WHERE endpoint_id = $1', [id]))[0];

test('an endpoint that has accepted nothing for too long is disabled, unless somebody has changed it', async () => {
  const pool = newPool({ connectionString: database.url, max: 1 });
  const clock = new ManualClock();
  await clock.advance(10 * DAY);
  const [one, fresh, touched] = [
    await addEndpoint(database, X),
    await addEndpoint(database, X),
    await addEndpoint(database, X),
  ];
  const directory = new EndpointDirectory();
  directory.reset(await endpointsNow(pool));
  await database.query(`SELECT walpost.update_endpoint($1, 'https://hooks.example.com/other')`, [touched.id]);
  const lines: string[] = [];
  const disabling = new EndpointDisabling({
    pool,
    directory,
    clock,
    log: createLog({ level: 'info', format: 'json', destination: { write: (line) => lines.push(line) } }),
    disableAfter: new Map([['hooks', 3 * DAY]]),
  });
  const failing = (lane: string, days: number, sink = 'hooks'): FailingLane => ({
    sink,
    organizationId: X,
    lane,
    state: 'failing',
    since: clock.now() - days * DAY,
    attempts: 9,
    reason: 'the destination answered 503',
    code: 'HTTP_503',
    answer: null,
    nextTryAt: null,
  });
  await disabling.round([
    failing(one.id, 3),
    failing(fresh.id, 2.9),
    failing(touched.id, 4),
    failing('', 9, 'a sink of the operator'),
  ]);
  expect(await stateOf(one.id)).toEqual({
    state: 'disabled',
    state_reason: 'it accepted nothing for 3 days; the last time the destination answered 503',
  });
  expect(await stateOf(fresh.id)).toMatchObject({ state: 'enabled' });
  expect(await stateOf(touched.id)).toMatchObject({ state: 'enabled' });
  expect(lines).toHaveLength(1);
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({ endpoint: one.id, host: 'hooks.example.com' });
  expect(lines[0]).not.toContain('/in');
  await pool.end();
});

test('one that is gone misses what it was sent, however long ago that was committed', async () => {
  const pool = newPool({ connectionString: database.url, max: 1 });
  const clock = new ManualClock();
  const [late, prompt] = [await addEndpoint(database, X), await addEndpoint(database, X)];
  const directory = new EndpointDirectory();
  directory.reset(await endpointsNow(pool));
  const log = createLog({ level: 'info', format: 'json', destination: { write: () => undefined } });
  const disabling = new EndpointDisabling({ pool, directory, clock, log, disableAfter: new Map() });
  const committed = Date.now() - DAY;
  disabling.gone(late.id, committed);
  disabling.gone(prompt.id, null);
  const missedSince = (id: string): Promise<number> =>
    poll('it is disabled', async () => {
      const [row] = await database.query<{ at: Date | null }>(
        'SELECT missed_since AS at FROM walpost.endpoints WHERE endpoint_id = $1',
        [id],
      );
      return row?.at?.getTime();
    });
  expect(await missedSince(late.id)).toBe(committed);
  expect(await missedSince(prompt.id)).toBeGreaterThan(committed);
  await pool.end();
});
