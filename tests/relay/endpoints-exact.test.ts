/** Changes of endpoints under load are exact: each endpoint gets the events of its time, in order, through every kind of restart. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { RunningWalpost } from '../e2e/running-walpost.ts';
import { debianPostgresMissing, startDebianPostgres } from '../support/debian-postgres.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { poll } from '../support/slot-session.ts';
import { EndpointHistory, randomOf } from './endpoint-history.ts';
import { Customers, EndpointReceiver } from './endpoint-scene.ts';

const isLong = process.env['WALPOST_LONG'] === '1';
/** Commits. WALPOST_CHANGES=n makes each kind of change n times, WALPOST_LONG=1 a thousand times. */
const STEPS = 500;
const EACH_KIND = Number(process.env['WALPOST_CHANGES'] ?? (isLong ? 1_000 : 0));
const KILL_EVERY = EACH_KIND > 0 ? 400 : 170;
const TIME_LIMIT = EACH_KIND > 0 ? 3_600_000 : 300_000;
const SINKS = {
  customers: { type: 'webhook', endpoints: true, allow_loopback: true, concurrency: 64, timeout: '5s' },
};
/** A lane that is parked when its endpoint is disabled loses what waits, as promised: on a busy machine none is to be parked by delay. */
const CONFIG = { batching: { window: '20ms' }, delivery: { park_after: '8s' } };
const noDebian = await debianPostgresMissing();

let receiver: EndpointReceiver;
beforeEach(async () => {
  receiver = await EndpointReceiver.start();
});
afterEach(() => receiver[Symbol.asyncDispose]());

const isDone = (history: EndpointHistory, step: number): boolean => step >= STEPS && history.hasMade(EACH_KIND);

async function sceneOf(database: TestDatabase, seed: number): Promise<EndpointHistory> {
  const customers = new Customers(database, receiver);
  await customers.prepare();
  return new EndpointHistory(customers, randomOf(seed));
}

/** Everything has come, and nothing else. */
async function settle(history: EndpointHistory): Promise<void> {
  const last = await history.end();
  await poll(
    'the last event of each endpoint',
    async () => {
      const firsts = receiver.firsts();
      return [...last].every(([endpoint, n]) => firsts.get(endpoint)?.includes(n) === true) || undefined;
    },
    60_000,
  );
  expect(history.disorder).toEqual([]);
  expect(receiver.faults).toEqual([]);
  expect(receiver.unsigned).toEqual([]);
}

/** Another customer, of whose endpoints one hangs; what is returned writes some of its events. */
async function neighbour(database: TestDatabase, customers: Customers): Promise<() => Promise<unknown>> {
  const organization = '01a1f9c1-5e61-768b-8ff0-dabec930edd9';
  const hangs = await customers.add(organization);
  await customers.add(organization);
  receiver.answers(hangs, 'hang');
  const sql = `SELECT walpost.publish($1, 'job.other', jsonb_build_object('n', -1, 'of', 'the load')) FROM generate_series(1, 5)`;
  return () => database.query(sql, [organization]);
}

/** The cursor moves. */
async function confirms(database: TestDatabase): Promise<void> {
  const lsn = async (): Promise<unknown> => (await database.query('SELECT lsn::text FROM walpost.cursor'))[0]?.['lsn'];
  const before = await lsn();
  await poll('something is confirmed', async () => (await lsn()) !== before || undefined, 30_000);
}

test(
  'on a relay that is cut off now and then',
  async () => {
    await using database = await createTestDatabase();
    const history = await sceneOf(database, 1);
    let relay = await RelayInProcess.start({ database, sinks: SINKS, config: CONFIG });
    try {
      for (let step = 0; !isDone(history, step); step++) {
        await history.step();
        if (step % 120 !== 119) continue;
        await relay[Symbol.asyncDispose]();
        relay = await RelayInProcess.start({ database, sinks: SINKS, config: CONFIG });
      }
      await settle(history);
    } finally {
      await relay[Symbol.asyncDispose]();
    }
    console.log(`made: ${JSON.stringify(history.made)}`);
    for (const kind of ['add', 'change', 'rotate', 'pause', 'enable', 'disable', 'remove']) {
      expect([kind, (history.made[kind] ?? 0) > 0]).toEqual([kind, true]);
    }
  },
  TIME_LIMIT,
);

test(
  'on a process that is killed in the middle, beside a customer whose endpoint hangs',
  async () => {
    await using database = await createTestDatabase();
    const history = await sceneOf(database, 2);
    const options = { database, sinks: SINKS, config: CONFIG };
    let relay = await RunningWalpost.start(options);
    try {
      const load = await neighbour(database, new Customers(database, receiver));
      for (let step = 0; !isDone(history, step); step++) {
        await Promise.all([history.step(), load()]);
        if (step % KILL_EVERY !== KILL_EVERY - 1) continue;
        await confirms(database); // deaths before that would look like those of an event that ends the process
        relay.cli.child.kill('SIGKILL');
        await relay[Symbol.asyncDispose]();
        relay = await RunningWalpost.start(options);
      }
      await settle(history);
      console.log(`made: ${JSON.stringify(history.made)}`);
    } finally {
      await relay[Symbol.asyncDispose]();
    }
  },
  TIME_LIMIT,
);

describe.skipIf(noDebian !== undefined)(`by wal2json${noDebian ? `: ${noDebian}` : ''}`, () => {
  let server: EmbeddedPostgres;
  beforeAll(async () => {
    server = await startDebianPostgres();
  });
  afterAll(() => server[Symbol.asyncDispose]());

  test('on a relay that is cut off', async () => {
    await using database = await createTestDatabase({ server: server.url() });
    const history = await sceneOf(database, 3);
    const options = { database, sinks: SINKS, config: CONFIG, source: { plugin: 'wal2json' } };
    let relay = await RelayInProcess.start(options);
    try {
      for (let step = 0; step < STEPS / 2; step++) {
        await history.step();
        if (step !== STEPS / 4) continue;
        await relay[Symbol.asyncDispose]();
        relay = await RelayInProcess.start(options);
      }
      await settle(history);
    } finally {
      await relay[Symbol.asyncDispose]();
    }
  }, 300_000);
});
