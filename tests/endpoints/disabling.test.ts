import { afterEach, beforeEach, expect, test } from 'vitest';
import { EndpointDirectory } from '../../src/endpoints/directory.ts';
import { type DisablingOptions, EndpointDisabling } from '../../src/endpoints/disabling.ts';
import { endpointsNow } from '../../src/endpoints/endpoint-rows.ts';
import { createLog } from '../../src/observe/log.ts';
import type { FailingLane } from '../../src/pipeline.ts';
import { newPool } from '../support/client.ts';
import { createRole } from '../support/database-role.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { addEndpoint } from '../support/endpoint-calls.ts';
import { ManualClock } from '../support/manual-clock.ts';
import { poll } from '../support/slot-session.ts';

const X = '01a1f9c1-5e61-768b-8ff0-dabec930edd1';
const Y = '01a1f9c1-5e61-768b-8ff0-dabec930edd2';
const DAY = 24 * 3_600_000;

let database: TestDatabase;
beforeEach(async () => {
  database = await createTestDatabase();
});
afterEach(() => database[Symbol.asyncDispose]());

const stateOf = async (id: string) =>
  (await database.query('SELECT state, state_reason FROM walpost.endpoints WHERE endpoint_id = $1', [id]))[0];

const failingLane = (lane: string, since: number, sink = 'hooks'): FailingLane => ({
  sink,
  organizationId: X,
  lane,
  state: 'failing',
  since,
  attempts: 9,
  reason: 'the destination answered 503',
  code: 'HTTP_503',
  answer: null,
  nextTryAt: null,
});

interface Parts {
  readonly pool: DisablingOptions['pool'];
  readonly directory: EndpointDirectory;
  readonly clock: ManualClock;
  readonly lines: string[];
}

const disablingOf = ({ lines, ...parts }: Parts): EndpointDisabling =>
  new EndpointDisabling({
    ...parts,
    log: createLog({ level: 'info', format: 'json', destination: { write: (line) => lines.push(line) } }),
    disableAfter: new Map([['hooks', 3 * DAY]]),
  });

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
  const disabling = disablingOf({ pool, directory, clock, lines });
  const failing = (lane: string, days: number, sink?: string) => failingLane(lane, clock.now() - days * DAY, sink);
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

test('endpoints that a transaction of their tenant holds delay no other, and are disabled when it has ended', async () => {
  const pool = newPool({ connectionString: database.url, max: 1 });
  const clock = new ManualClock();
  await clock.advance(10 * DAY);
  await using tenant = await createRole(database, { in: ['walpost_publisher'] });
  const held: string[] = [];
  for (let n = 0; n < 10; n++) held.push((await addEndpoint(database, X)).id);
  const { id: other } = await addEndpoint(database, Y);
  const directory = new EndpointDirectory();
  directory.reset(await endpointsNow(pool));
  const lines: string[] = [];
  const disabling = disablingOf({ pool, directory, clock, lines });
  const round = (): Promise<void> =>
    disabling.round([...held, other].map((id) => failingLane(id, clock.now() - 3 * DAY)));
  const session = await tenant.client();
  await session.query(`BEGIN; SELECT set_config('app.current_org_id', '${X}', true)`);
  for (const id of held) await session.query(`SELECT walpost.pause_endpoint($1)`, [id]);

  const begun = performance.now();
  await round();
  await round();
  expect(performance.now() - begun).toBeLessThan(2_000);
  expect(await stateOf(other)).toMatchObject({ state: 'disabled' });
  for (const id of held) {
    expect(await stateOf(id)).toMatchObject({ state: 'enabled' });
    expect(lines.filter((line) => line.includes(id))).toEqual([expect.stringContaining('open transaction holds it')]);
  }

  await session.query('ROLLBACK');
  await round();
  for (const id of held) expect(await stateOf(id)).toMatchObject({ state: 'disabled' });
  await pool.end();
});

test('an endpoint that is held again after it has recovered is told again', async () => {
  const pool = newPool({ connectionString: database.url, max: 1 });
  const clock = new ManualClock();
  await clock.advance(10 * DAY);
  const { id } = await addEndpoint(database, X);
  const directory = new EndpointDirectory();
  directory.reset(await endpointsNow(pool));
  const lines: string[] = [];
  const disabling = disablingOf({ pool, directory, clock, lines });
  const round = (): Promise<void> => disabling.round([failingLane(id, clock.now() - 3 * DAY)]);
  const tenant = await database.client();
  const hold = 'BEGIN; SELECT FROM walpost.endpoints FOR UPDATE';
  await tenant.query(hold);
  await round();
  await round();
  expect(lines).toHaveLength(1);
  await tenant.query('ROLLBACK');
  await round(); // it is disabled, and enabled by a person
  await database.query('SELECT walpost.enable_endpoint($1)', [id]);
  directory.reset(await endpointsNow(pool));
  await tenant.query(hold);
  await round();
  expect(lines.filter((line) => line.includes('open transaction holds it'))).toHaveLength(2);
  await tenant.query('ROLLBACK');
  await pool.end();
});

test('a lock that is no endpoint ends the round at its first wait, and blames no tenant', async () => {
  const pool = newPool({ connectionString: database.url, max: 1 });
  const clock = new ManualClock();
  await clock.advance(10 * DAY);
  const ids = [await addEndpoint(database, X), await addEndpoint(database, X)].map(({ id }) => id);
  const directory = new EndpointDirectory();
  directory.reset(await endpointsNow(pool));
  const lines: string[] = [];
  const disabling = disablingOf({ pool, directory, clock, lines });
  const round = (): Promise<void> => disabling.round(ids.map((id) => failingLane(id, clock.now() - 3 * DAY)));
  const owner = await database.client();
  await owner.query('BEGIN; LOCK TABLE walpost.outbox IN ACCESS EXCLUSIVE MODE');
  const begun = performance.now();
  await expect(round()).rejects.toMatchObject({ code: 'DATABASE' });
  expect(performance.now() - begun).toBeLessThan(1_900); // one wait of a second
  expect(lines).toEqual([]);
  await owner.query('ROLLBACK');
  await round();
  for (const id of ids) expect(await stateOf(id)).toMatchObject({ state: 'disabled' });
  await pool.end();
});
