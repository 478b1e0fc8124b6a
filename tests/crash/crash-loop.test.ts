import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { RunningWalpost, type RunOptions } from '../e2e/running-walpost.ts';
import { compiled } from '../support/compiled.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { EventLog } from '../support/event-log.ts';
import { poll } from '../support/slot-session.ts';

const script = compiled(join(import.meta.dirname, 'relay-child.ts'));
const organizations = ['01a1f9c1-5e61-768b-8ff0-dabec930edd1', '01a1f9c1-5e61-768b-8ff0-dabec930edd2'];

let database: TestDatabase;
let log: EventLog;
beforeEach(async () => {
  database = await createTestDatabase();
  log = await EventLog.start();
});
afterEach(async () => {
  await log[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const options = (more: object = {}): RunOptions => ({
  database,
  sinks: log.sinks,
  config: { batching: { window: '20ms' }, ...more },
  cli: { script, env: { TEST_ABORT_ON: 'ends-the-process' } },
});

const publish = async (organization: number, note: string): Promise<string> => {
  const [row] = await database.query<{ id: string }>(`SELECT walpost.publish($1, 'a.b', $2)::text AS id`, [
    organizations[organization],
    { note },
  ]);
  return row?.id ?? '';
};

const starts = async (): Promise<number> => {
  const [row] = await database.query<{ starts: number }>('SELECT starts FROM walpost.cursor');
  return row?.starts ?? -1;
};

/** The slot exists, and the process that made it is gone in good order. */
async function prepare(): Promise<void> {
  await using relay = await RunningWalpost.start(options());
  expect((await relay.stop()).code).toBe(0);
}

test('an event that kills the process is a dead letter at the fourth start, and the rest is delivered in order', async () => {
  await prepare();
  const ids: string[] = [];
  for (let i = 0; i < 30; i += 1) ids.push(await publish(i % 2, i === 13 ? 'ends-the-process' : `${i}`));
  const [culprit] = ids.splice(13, 1);
  let crashes = 0;
  for (;;) {
    await using relay = new RunningWalpost(options());
    const died = await Promise.race([relay.cli.result().then(({ code }) => code), log.has(ids, 60_000)]);
    if (died === undefined) {
      const letters = () =>
        database.query('SELECT reason, event_id, organization_id FROM walpost.dead_letters ORDER BY id');
      await poll('the letter', async () => (await letters())[0]);
      expect(await letters()).toEqual([{ reason: 'crash', event_id: culprit, organization_id: organizations[1] }]);
      const begun = await relay.confirmed();
      const later = await publish(0, 'later');
      await log.has([later]);
      await relay.confirms(begun);
      expect((await relay.stop()).code).toBe(0);
      break;
    }
    expect(died).toBe('SIGABRT');
    crashes += 1;
    expect(crashes).toBeLessThan(4);
  }
  expect(crashes).toBe(3);
  expect(await starts()).toBe(0);
  const first = organizations.map((id) => [
    ...new Set(log.events.filter((event) => event.organization_id === id).map((event) => event.event_id)),
  ]);
  for (const delivered of first) expect(delivered).toEqual([...delivered].toSorted());
  expect(log.ids.has(culprit ?? '')).toBe(false);
}, 120_000);

test('stops by an operator, and orderly ends after them, never count', async () => {
  await prepare();
  log.receiver.onBatch = () => new Promise(() => undefined);
  await publish(0, 'waits');
  for (let i = 0; i < 4; i += 1) {
    await using relay = await RunningWalpost.start(options({ delivery: { timeout: '100ms' } }));
    expect(await starts()).toBe(1);
    if (i % 2 === 0) {
      expect((await relay.stop()).code).toBe(0);
    } else {
      relay.cli.child.kill('SIGTERM');
      await poll('it was told', async () => ((await starts()) === 0 ? true : undefined));
      relay.cli.child.kill('SIGKILL');
      await relay.cli.result();
    }
    expect(await starts()).toBe(0);
    expect(relay.cli.stderr).not.toContain('one event at a time');
  }
  expect(await database.query('SELECT FROM walpost.dead_letters')).toEqual([]);
}, 60_000);

test('kills that meet another event each time blame nobody', async () => {
  await prepare();
  const ids: string[] = [];
  for (let i = 0; i < 10; i += 1) ids.push(await publish(0, `${i}`));
  let target = 0;
  let kill = (): void => undefined;
  const keep = log.receiver.onBatch;
  log.receiver.onBatch = (batch, body) => {
    if (!batch.events.some(({ event_id: id }) => id === ids[target])) return keep(batch, body);
    kill();
    return new Promise(() => undefined);
  };
  for (; target < 8; target += 1) {
    await using relay = new RunningWalpost(options());
    kill = () => relay.cli.child.kill('SIGKILL');
    expect((await relay.cli.result()).code).toBe('SIGKILL');
  }
  log.receiver.onBatch = keep;
  await using relay = await RunningWalpost.start(options());
  await log.has(ids);
  expect(await database.query('SELECT FROM walpost.dead_letters')).toEqual([]);
  expect((await relay.stop()).code).toBe(0);
}, 120_000);

test('kills that have nothing to do with the event that waits blame nobody', async () => {
  await prepare();
  let hangs = true;
  const keep = log.receiver.onBatch;
  log.receiver.onBatch = (batch, body) => (hangs ? new Promise(() => undefined) : keep(batch, body));
  const id = await publish(0, 'waits');
  for (let i = 0; i < 7; i += 1) {
    await using relay = await RunningWalpost.start(options({ delivery: { park_after: '10m' } }));
    await poll('the event has been with the sink for long', async () => {
      const [row] = await database.query<{ ok: boolean }>(
        `SELECT starts % 3 = 1 OR coalesce((in_flight ->> 'waited')::boolean, false) AS ok FROM walpost.cursor`,
      );
      return row?.ok ? true : undefined;
    });
    relay.cli.child.kill('SIGKILL');
    await relay.cli.result();
  }
  hangs = false;
  await using relay = await RunningWalpost.start(options());
  await log.has([id]);
  expect(await database.query('SELECT FROM walpost.dead_letters')).toEqual([]);
  expect((await relay.stop()).code).toBe(0);
}, 120_000);
