import { setTimeout as delay } from 'node:timers/promises';
import { expect, test, vi } from 'vitest';
import { parseLsn } from '../../src/lsn.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { type PostgresMajor, startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';
import { TcpProxy } from '../support/tcp-proxy.ts';
import { EventReceiver, type ReceivedBatch, type ReceivedEvent } from './event-receiver.ts';
import { mixedLoad, OrderCheck, prepareLoad, writeLoad } from './numbered-load.ts';
import { RunningWalpost } from './running-walpost.ts';

vi.setConfig({ testTimeout: 90_000 }); // each of them starts a server and processes

const publish = (database: TestDatabase): Promise<unknown> =>
  database.query(`SELECT walpost.publish(gen_random_uuid(), 'a.b', '{}')`);

const never = (): Promise<void> => new Promise(() => undefined);

test('SIGTERM under load: what was delivered is confirmed, and the rest comes later, in order', async () => {
  await using database = await createTestDatabase();
  await prepareLoad(database);
  const batches: ReceivedBatch[] = [];
  await using receiver = await EventReceiver.start((batch) => void batches.push(batch));
  const options = { database, sinks: { hook: receiver.sink() } };
  await using first = await RunningWalpost.start(options);
  const writing = writeLoad(database, mixedLoad(0.8));
  await receiver.received(2_000);
  const stopped = await first.stop();
  const confirmed = await first.confirmed();
  expect(stopped.code).toBe(0);
  expect(stopped.took).toBeLessThan(12_000);
  expect(confirmed).toBe(await first.cursor());
  // One transaction may have been cut by the end of reading. It is not confirmed, and comes again as a whole.
  const delivered = batches.splice(0).flatMap(({ events }) => events);
  const isConfirmed = ({ lsn }: ReceivedEvent): boolean => (parseLsn(lsn ?? '') ?? 0n) < confirmed;
  const open = new Set(delivered.filter((event) => !isConfirmed(event)).map(({ lsn }) => lsn));
  expect(open.size).toBeLessThanOrEqual(1);
  const committed = await writing;
  const total = [...committed.values()].reduce((sum, n) => sum + n, 0);
  const settled = delivered.filter(isConfirmed);
  expect(settled.length).toBeLessThan(total);
  await using second = await RunningWalpost.start(options);
  await receiver.received(delivered.length + total - settled.length);
  const check = new OrderCheck();
  check.take({ events: settled });
  batches.forEach(check.take);
  expect(check.faults(committed)).toEqual([]); // nothing that was confirmed came twice
  expect(await second.stop()).toMatchObject({ code: 0 });
  process.stdout.write(
    `stopped after ${stopped.took.toFixed(0)} ms, ${settled.length} of ${total} confirmed by then\n`,
  );
});

test('a second signal ends it at once, with 1', async () => {
  await using database = await createTestDatabase();
  await using receiver = await EventReceiver.start(never);
  await using walpost = await RunningWalpost.start({ database, sinks: { hook: receiver.sink() } });
  await publish(database);
  await poll('in flight', async () => ((await walpost.metric('walpost_lanes', 'sending')) > 0 ? true : undefined));
  walpost.cli.child.kill('SIGTERM');
  await walpost.cli.prints(/told to stop/);
  const { code, took } = await walpost.stop();
  expect(code).toBe(1);
  expect(took).toBeLessThan(500);
});

test.each(['fast', 'immediate'] as const)(
  'SIGTERM while the database is gone (stop -m %s) ends within 2 s',
  async (mode) => {
    await using server = await startServer();
    await using database = await createTestDatabase({ server: server.url() });
    await using receiver = await EventReceiver.start();
    await using walpost = await RunningWalpost.start({ database, sinks: { hook: receiver.sink() } });
    await publish(database);
    await receiver.received(1);
    await server.stop(mode);
    await walpost.cli.prints(/"code":"S/);
    const { code, took } = await walpost.stop();
    await server.start();
    expect(code).toBe(0);
    expect(took).toBeLessThan(2_000);
  },
);

test('SIGTERM with an event in flight while the database is gone ends within 2 s', async () => {
  await using server = await startServer();
  await using database = await createTestDatabase({ server: server.url() });
  await using receiver = await EventReceiver.start(never);
  await using walpost = await RunningWalpost.start({ database, sinks: { hook: receiver.sink() } });
  await publish(database);
  await poll('in flight', async () => ((await walpost.metric('walpost_lanes', 'sending')) > 0 ? true : undefined));
  await server.stop('immediate');
  const { code, took } = await walpost.stop();
  await server.start();
  expect(code).toBe(0);
  expect(took).toBeLessThan(2_000);
});

test.each(['idle', 'with a confirmation that is due', 'with an event in flight'])(
  'SIGTERM while nothing of the database answers ends within 6 s, %s',
  async (state) => {
    await using database = await createTestDatabase();
    await using proxy = await TcpProxy.before(database.url);
    await using receiver = await EventReceiver.start();
    const sinks = { hook: receiver.sink() };
    const config = { delivery: { timeout: '500ms' } };
    await using walpost = await RunningWalpost.start({ database, sinks, url: proxy.url(database.url), config });
    receiver.onBatch = () => {
      if (state !== 'idle') proxy.hold();
      return state === 'with an event in flight' ? never() : undefined;
    };
    await publish(database);
    if (state === 'with an event in flight') await poll('held', async () => (receiver.requests > 0 ? true : undefined));
    else await receiver.received(1);
    if (state === 'idle') await walpost.confirms(receiver.lastCommit);
    proxy.hold();
    const { code, took } = await walpost.stop();
    expect(code).toBe(0);
    process.stdout.write(`${state}: ended after ${took.toFixed(0)} ms\n`);
    expect(took).toBeLessThan(6_000);
  },
);

test.each<[PostgresMajor, string]>([
  ['15', 'idle'],
  ['17', 'idle'],
  ['17', 'with an event that hangs'],
  ['18', 'with an event that hangs'],
])('a fast shutdown of Postgres %s ends within 2 s, %s', async (version, state) => {
  await using server = await startServer(version);
  await using database = await createTestDatabase({ server: server.url() });
  await using receiver = await EventReceiver.start(state === 'idle' ? undefined : never);
  await using walpost = await RunningWalpost.start({ database, sinks: { hook: receiver.sink() } });
  await publish(database);
  if (state === 'idle') await walpost.confirms((await receiver.received(1), receiver.lastCommit));
  else await poll('in flight', async () => ((await walpost.metric('walpost_lanes', 'sending')) > 0 ? true : undefined));
  const begun = performance.now();
  await server.stop('fast');
  const took = performance.now() - begun;
  receiver.onBatch = () => undefined;
  const count = receiver.count;
  await server.start();
  if (state !== 'idle')
    await receiver.received(1, 20_000); // it was never settled, so it comes again
  else await delay(0);
  expect(count).toBe(state === 'idle' ? 1 : 0);
  expect(took).toBeLessThan(2_000);
  process.stdout.write(`${state}: the server was down after ${took.toFixed(0)} ms\n`);
});
