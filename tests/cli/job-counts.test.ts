/** What a replay and a redrive say was sent, and to whom, is what was sent; the dry run says the same before. */
import { randomUUID } from 'node:crypto';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { configOf } from '../e2e/running-walpost.ts';
import { ConfigFile } from '../support/config-file.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';
import { type CliResult, walpost } from '../support/walpost-cli.ts';

const TIMEOUT = 240_000;
const ROUTES = [
  { match: { event_type: 'order.*' }, to: ['hook'] },
  { match: { event_type: 'order.paid' }, to: ['other'] },
  { match: { topic: 'mail*', event_type: 'x_%' }, to: ['other'] },
];

let database: TestDatabase;
let hook: EventLog;
let other: EventLog;
let file: ConfigFile | undefined;
beforeEach(async () => {
  database = await createTestDatabase();
  [hook, other] = [await EventLog.start(), await EventLog.start()];
});
afterEach(async () => {
  file?.[Symbol.dispose]();
  file = undefined;
  await hook[Symbol.asyncDispose]();
  await other[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const sinks = () => ({ hook: hook.receiver.sink(), other: other.receiver.sink() });
const relay = (routes: object = ROUTES): Promise<RelayInProcess> =>
  RelayInProcess.start({ database, sinks: sinks(), config: { routes } });

function run(routes: object, ...argv: string[]): Promise<CliResult> {
  file?.[Symbol.dispose]();
  file = new ConfigFile(JSON.stringify(configOf({ database, sinks: sinks(), config: { routes } })));
  return walpost([...argv, '--config', file.path]);
}

/** What it said, or why it said nothing. */
function json({ stdout, stderr }: CliResult): unknown {
  if (stdout === '') throw new Error(stderr);
  return JSON.parse(stdout);
}

async function publish(type: string, topic = 'default'): Promise<void> {
  await database.query(`SELECT walpost.publish($1, $2, '{}', topic => $3)`, [randomUUID(), type, topic]);
}

const letters = () =>
  database.query('SELECT id::text, event_type, sink, reason FROM walpost.dead_letters ORDER BY event_type, id');

const since = async (): Promise<string[]> => {
  const [row] = await database.query<{ lsn: string }>('SELECT min(lsn)::text AS lsn FROM walpost.checkpoints');
  return ['--from-lsn', row?.lsn ?? ''];
};

/** Two for hook, one of them for other too; one for other alone; two for nobody. */
async function traffic(): Promise<void> {
  await publish('order.made');
  await publish('order.paid');
  await publish('x_%', 'mails');
  await publish('x_%');
  await publish('nobody');
  await hook.receiver.received(2);
  await other.receiver.received(2);
  await poll('the dead letters', async () => (await letters()).length === 2 || undefined);
}

test('a replay counts by sink, and stores no event without a route again', { timeout: TIMEOUT }, async () => {
  await using running = await relay();
  await traffic();
  const before = await letters();
  const dry = await run(ROUTES, 'replay', ...(await since()), '--dry-run', '--json');
  const counted = { events: 3, unrouted: 2, elsewhere: 0 };
  const bySink = [
    { name: 'hook', events: 2 },
    { name: 'other', events: 2 },
  ];
  expect(json(dry)).toMatchObject({ ...counted, sinks: bySink });
  for (let round = 1; round <= 2; round += 1) {
    const real = await run(ROUTES, 'replay', ...(await since()), '--yes', '--json');
    const job = { state: 'done', scanned: 5, settled: 3, sent: { hook: 2, other: 2 }, unrouted: 2 };
    expect(json(real)).toMatchObject({ ...counted, sinks: bySink, job });
    expect([hook.receiver.count, other.receiver.count]).toEqual([2 + 2 * round, 2 + 2 * round]);
    expect(await letters()).toEqual(before);
  }
  const listed = await run(ROUTES, 'jobs', 'list', '--json');
  expect(json(listed)).toMatchObject([{ sent: { hook: 2, other: 2 }, unrouted: 2, report: { unrouted: 2 } }, {}]);
  await running.stop();
});

test('a replay to one sink counts that one alone', { timeout: TIMEOUT }, async () => {
  await using running = await relay();
  await traffic();
  await database.query('DELETE FROM walpost.dead_letters');
  const flags = [...(await since()), '--sink', 'other'];
  const dry = await run(ROUTES, 'replay', ...flags, '--dry-run');
  expect(dry.stdout).toMatch(
    /Events to send: 2\n {2}by sink:\n {4}other {2}2\n {2}by organization:\n(?: {4}.+\n)+ {2}by type:\n(?: {4}.+\n)+Match no route: 2\nAre for other sinks only: 1\n/,
  );
  const real = await run(ROUTES, 'replay', ...flags, '--yes');
  expect(real.stdout).toContain('done, 2 events sent (other 2); 2 match no route');
  expect([hook.receiver.count, other.receiver.count]).toEqual([2, 4]);
  expect(await letters()).toEqual([]);
  await running.stop();
});

test(
  'a redrive leaves letters without a route as they are, and takes them when there is one',
  { timeout: TIMEOUT },
  async () => {
    {
      await using running = await relay();
      await traffic();
      const before = await letters();
      const none = await run(ROUTES, 'dead-letters', 'redrive', '--yes', '--json');
      expect(json(none)).toMatchObject({ letters: 0, unrouted: 2 });
      expect(await letters()).toEqual(before);
      await running.stop();
    }
    const routes = [...ROUTES, { match: { event_type: 'nobody' }, to: ['hook', 'other'] }];
    await using running = await relay(routes);
    const dry = await run(routes, 'dead-letters', 'redrive', '--dry-run', '--json');
    expect(json(dry)).toMatchObject({ letters: 1, unrouted: 1, sinks: { hook: 1, other: 1 } });
    const real = await run(routes, 'dead-letters', 'redrive', '--yes', '--json');
    const job = { state: 'done', settled: 1, sent: { hook: 1, other: 1 }, unrouted: 1 };
    expect(json(real)).toMatchObject({ letters: 1, unrouted: 1, job });
    expect([hook.receiver.count, other.receiver.count]).toEqual([3, 3]);
    expect(await letters()).toMatchObject([{ event_type: 'x_%', reason: 'unrouted' }]);
    await running.stop();
  },
);

const LETTER = `
  INSERT INTO walpost.dead_letters (slot, system_identifier, epoch, sink, reason, detail, attempts, event_id,
      organization_id, event_type, event_version, topic, payload, headers)
  SELECT $1, '1', 1, $2, 'rejected', '', 1, gen_random_uuid()::text, gen_random_uuid()::text, 'a', 1, 'default', '{}', '{}'`;

test(
  'a redrive to a sink that is gone is an error that names it, and what there is',
  { timeout: TIMEOUT },
  async () => {
    const slot = database.slotName;
    for (let count = 0; count < 2; count += 1) await database.query(LETTER, [slot, 'old']);
    for (const flags of [
      ['--yes'],
      ['--dry-run'],
      ['--sink', 'old', '--yes'],
      ['--sink', 'old', '--dry-run', '--json'],
    ]) {
      const refused = await run(ROUTES, 'dead-letters', 'redrive', ...flags);
      expect(refused).toMatchObject({ code: 2, stdout: '' });
      expect(refused.stderr).toMatch(
        /SINK_UNKNOWN\n.*"old"; there is "hook", "other".*\n.*formerly: old_name.*dead-letters discard/,
      );
    }
    await database.query(LETTER, [slot, 'hook']);
    await using running = await relay();
    const mixed = await run(ROUTES, 'dead-letters', 'redrive', '--yes');
    expect(mixed.code).toBe(0);
    expect(mixed.stdout).toContain('2 dead letters stay: there is no sink "old".');
    expect(mixed.stdout).toContain('1 dead letter sent again (hook 1)');
    for (const [kind, spec] of [
      ['redrive', { sinks: ['old'] }],
      ['redrive', {}],
      ['replay', { sinks: ['old'] }],
    ] as const) {
      const [job] = await database.query<{ id: string }>(
        'INSERT INTO walpost.jobs (slot, kind, spec) VALUES ($1, $2, $3) RETURNING id::text',
        [slot, kind, spec],
      );
      const ended = await poll('the job is over', async () => {
        const [row] = await database.query<{ state: string; error: string }>(
          'SELECT state, error FROM walpost.jobs WHERE id = $1 AND ended_at IS NOT NULL',
          [job?.id],
        );
        return row;
      });
      expect(ended).toMatchObject({
        state: 'failed',
        error: expect.stringContaining('"old"; there is "hook"') as string,
      });
    }
    expect(await letters()).toHaveLength(2);
    const discarded = await run(ROUTES, 'dead-letters', 'discard', '--sink', 'old', '--yes');
    expect(discarded).toMatchObject({ code: 0, stdout: 'Deleted 2 dead letters.\n' });
    await running.stop();
  },
);
