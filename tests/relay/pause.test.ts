/** Pauses as operators make them: with commands, on a running leader, and with no process at all. */
import { afterEach, beforeEach, expect, test } from 'vitest';
import { configOf } from '../e2e/running-walpost.ts';
import { ConfigFile } from '../support/config-file.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';
import { type CliResult, walpost } from '../support/walpost-cli.ts';

const X = '01a1f9c1-5e61-768b-8ff0-dabec930edd1';
const Y = '01a1f9c1-5e61-768b-8ff0-dabec930edd2';

let database: TestDatabase;
let log: EventLog;
let file: ConfigFile;
beforeEach(async () => {
  database = await createTestDatabase();
  log = await EventLog.start();
  file = new ConfigFile(JSON.stringify(configOf({ database, sinks: log.sinks })));
});
afterEach(async () => {
  file[Symbol.dispose]();
  await log[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const run = (...argv: string[]): Promise<CliResult> => walpost([...argv, '--config', file.path]);
const relay = (delivery = {}): Promise<RelayInProcess> =>
  RelayInProcess.start({ database, sinks: log.sinks, config: { delivery } });

async function publish(organization: string): Promise<string> {
  const [row] = await database.query<{ id: string }>(`SELECT walpost.publish($1, 'a', '{}')::text AS id`, [
    organization,
  ]);
  return row?.id ?? '';
}

const parked = (rows: number): Promise<true> =>
  poll(
    `${rows} parked`,
    async () => (await database.query('SELECT FROM walpost.parked')).length === rows || undefined,
    20_000,
  );
const hears = (walker: RelayInProcess, text: string): Promise<true> =>
  poll(text, async () => walker.lines.some((line) => line.includes(text)) || undefined, 20_000);

test('a running leader hears of it, parks in order, and sends all of it once it is resumed', async () => {
  await using running = await relay();
  const ids = [await publish(X)];
  await log.has(ids);
  const paused = await run('sinks', 'pause', 'hook', '--reason', 'the receiver moves', '--by', 'ann');
  expect(paused).toMatchObject({ code: 0, stdout: expect.stringMatching(/^sink hook is paused: nothing is sent/) });
  await hears(running, 'paused: nothing is sent');
  for (const organization of [X, Y, X]) ids.push(await publish(organization));
  await parked(3);
  const [status, list, sinks, again] = await Promise.all([
    run('status', '--json'),
    run('parked', 'list', '--json'),
    run('sinks', 'list'),
    run('sinks', 'pause', 'hook', '--json'),
  ]);
  const pause = { sink: 'hook', organizationId: null, pausedBy: 'ann', reason: 'the receiver moves' };
  const report = JSON.parse(status.stdout) as {
    paused: object[];
    alerts: { name: string }[];
    heldBy: { kind: string }[];
  };
  expect(report.paused).toMatchObject([pause]);
  // Slots of other tests may stand on the same server.
  expect(report.alerts.filter(({ name }) => name !== 'held_by_slot')).toEqual([]);
  expect(report.heldBy.filter(({ kind }) => kind !== 'slot')).toEqual([]);
  expect(status.stdout).toContain('a person: ann has paused it');
  expect(JSON.parse(list.stdout)).toMatchObject([{ paused_by: 'ann' }, { paused_by: 'ann' }, { paused_by: 'ann' }]);
  expect(sinks.stdout).toMatch(/^hook +webhook +3 +.*paused by ann since .* UTC \(the receiver moves\)$/m);
  expect(JSON.parse(again.stdout)).toMatchObject({ changed: false, pause });
  expect(await database.query('SELECT state, organization_id, paused_by FROM walpost.lanes')).toEqual([
    { state: 'paused', organization_id: '', paused_by: 'ann' },
  ]);
  expect((await run('parked', 'retry')).code).toBe(0);
  const resumed = await run('sinks', 'resume', 'hook');
  expect(resumed.stdout).toMatch(/^sink hook is resumed; it was paused by ann since/);
  await log.has(ids);
  await parked(0);
  expect(log.events.map(({ event_id }) => event_id).filter((id) => id !== ids[2])).toEqual([ids[0], ids[1], ids[3]]);
}, 60_000);

test('with no process it holds at the next start; a sink and an organization are resumed apart', async () => {
  {
    await using first = await relay();
    await log.has([await publish(X), await publish(Y)]);
    await first.stop();
  }
  const alone = await run('sinks', 'pause', 'hook', '--organization', X);
  expect(alone.stdout).toMatch(/No relay streams from \S+ now/);
  await run('sinks', 'pause', 'hook');
  await using running = await relay();
  const [ofX, ofY] = [await publish(X), await publish(Y)];
  await parked(2);
  const sink = await run('sinks', 'resume', 'hook');
  expect(sink.stdout).toMatch(new RegExp(`^organization ${X} at sink hook stays paused: paused by `, 'm'));
  await log.has([ofY]);
  await hears(running, 'resumed: what was parked is sent');
  expect(log.missing([ofX])).toEqual([ofX]);
  const organization = await run('sinks', 'resume', 'hook', '--organization', X, '--json');
  expect(JSON.parse(organization.stdout)).toEqual({ changed: true, sink: 'hook', organizationId: X, stillPaused: [] });
  await log.has([ofX]);
  expect((await run('sinks', 'resume', 'hook')).stdout).toBe('sink hook was not paused.\n');
}, 60_000);

test('an organization is paused before its first event, however its id is written', async () => {
  const paused = await run('sinks', 'pause', 'hook', '--organization', X.toUpperCase(), '--json');
  expect(paused.code).toBe(0);
  expect(JSON.parse(paused.stdout)).toMatchObject({ changed: true, organizationId: X, pause: { organizationId: X } });
  expect((await run('sinks', 'pause', 'hook', '--organization', X.slice(0, 30))).code).toBe(2);
  const resumed = await run('sinks', 'resume', 'hook', '--organization', X.toUpperCase(), '--json');
  expect(JSON.parse(resumed.stdout)).toMatchObject({ changed: true, organizationId: X });
}, 60_000);

test('what failed is not called failing any more, and the log does not say that it recovered', async () => {
  log.receiver.onBatch = () => 503;
  await using running = await relay({ park_after: '100ms', breaker: { minimum_organizations: 1000 } });
  await publish(X);
  await hears(running, 'deliveries to an organization fail');
  const failing = () => database.query('SELECT FROM walpost.lanes WHERE attempts > 0');
  await poll('the record', async () => (await failing()).length === 1 || undefined, 20_000);
  await run('sinks', 'pause', 'hook');
  await hears(running, 'paused: nothing is sent');
  await poll('no record', async () => (await failing()).length === 0 || undefined, 20_000);
  expect(running.lines.join('')).not.toContain('deliveries no longer fail');
}, 60_000);

test('a pause goes along with a sink that is renamed', async () => {
  {
    await using first = await relay();
    await log.has([await publish(X)]);
    await first.stop();
  }
  await run('sinks', 'pause', 'hook', '--by', 'ann', '--organization', X);
  await database.query(
    `INSERT INTO walpost.lanes (slot, sink, organization_id, state, failing_since, attempts)
     SELECT slot, 'n8n', organization_id, 'failing', clock_timestamp(), 3 FROM walpost.lanes`,
  ); // of a sink that had the new name before
  await using _renamed = await RelayInProcess.start({
    database,
    sinks: { n8n: { ...log.sinks['hook'], formerly: 'hook' } },
  });
  await publish(X);
  await parked(1);
  expect(await database.query('SELECT sink, paused_by FROM walpost.lanes')).toEqual([
    { sink: 'n8n', paused_by: 'ann' },
  ]);
}, 60_000);

test('a sink that is not there, and an organization that nobody knows, are refused', async () => {
  const [sink, organization, resume] = await Promise.all([
    run('sinks', 'pause', 'n8n'),
    run('sinks', 'pause', 'hook', '--organization', 'nobody'),
    run('sinks', 'resume', 'n8n'),
  ]);
  expect(sink).toMatchObject({ code: 2, stderr: expect.stringContaining('SINK_UNKNOWN') });
  expect(organization).toMatchObject({ code: 2, stderr: expect.stringContaining('No such organization') });
  expect(resume.code).toBe(2);
}, 60_000);

test('alerts of what waits leave out what is paused, and name the rest', async () => {
  await using _running = await relay({ park_after: '100ms', breaker: { minimum_organizations: 1000 } });
  await log.has([await publish(X), await publish(Y)]);
  await database.query(
    `INSERT INTO walpost.settings (name, value) VALUES ('alert_waiting', '1') ON CONFLICT (name, topic) DO UPDATE SET value = '1'`,
  );
  const alerts = () => database.query(`SELECT subject, value::int AS value FROM walpost.alerts WHERE name = 'waiting'`);
  await run('sinks', 'pause', 'hook', '--organization', X);
  log.receiver.onBatch = () => 503;
  for (const organization of [X, X, X, Y, Y]) await publish(organization);
  await parked(5);
  expect(await alerts()).toEqual([{ subject: 'sink hook', value: 2 }]);
  await run('sinks', 'pause', 'hook');
  expect(await alerts()).toEqual([]);
}, 60_000);
