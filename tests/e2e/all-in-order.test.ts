import { expect, test } from 'vitest';
import { createTestDatabase } from '../support/database.ts';
import { debianPostgresMissing, startDebianPostgres } from '../support/debian-postgres.ts';
import { type PostgresMajor, startServer } from '../support/server.ts';
import { EventReceiver } from './event-receiver.ts';
import { mixedLoad, OrderCheck, prepareLoad, writeLoad } from './numbered-load.ts';
import { RunningWalpost } from './running-walpost.ts';

const LONG = process.env['WALPOST_LONG'] === '1';
const missing = await debianPostgresMissing();

/** Writers, walpost and a receiver; all that was committed arrives once, in the order of commits, and is confirmed. */
async function deliversAll(server: string | undefined, scale: number, source: object = {}): Promise<void> {
  await using database = await createTestDatabase(server === undefined ? {} : { server });
  await prepareLoad(database);
  const check = new OrderCheck();
  await using receiver = await EventReceiver.start(check.take);
  await using walpost = await RunningWalpost.start({
    database,
    sinks: { hook: receiver.sink() },
    config: { source },
  });
  const begun = performance.now();
  const committed = await writeLoad(database, mixedLoad(scale));
  const written = performance.now();
  const total = [...committed.values()].reduce((sum, n) => sum + n, 0);
  await receiver.received(total, 120_000);
  const arrived = performance.now();
  const confirmedAfter = await walpost.confirms(receiver.lastCommit, 2_000);
  expect(check.faults(committed)).toEqual([]);
  expect(receiver.count).toBe(total);
  const seconds = (ms: number): string => (ms / 1000).toFixed(1);
  process.stdout.write(
    `${total} events: written in ${seconds(written - begun)} s, all there in ${seconds(arrived - begun)} s, ` +
      `${receiver.batches} requests, confirmed after ${confirmedAfter.toFixed(0)} ms\n`,
  );
  expect(await walpost.stop()).toMatchObject({ code: 0 });
}

test(`${LONG ? '100,000' : '20,000'} events of 200 organizations`, { timeout: 240_000 }, async () => {
  await deliversAll(undefined, LONG ? 1 : 0.2);
});

test.each<PostgresMajor>(['15', '16', '18'])('on Postgres %s', { timeout: 240_000 }, async (version) => {
  await using server = await startServer(version);
  await deliversAll(server.url(), LONG ? 0.5 : 0.05);
});

test.skipIf(missing !== undefined)("with wal2json on Debian's Postgres 15", { timeout: 240_000 }, async () => {
  await using server = await startDebianPostgres();
  await deliversAll(server.url(), LONG ? 0.5 : 0.05, { plugin: 'wal2json' });
});
