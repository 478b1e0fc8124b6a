import { setTimeout as delay } from 'node:timers/promises';
import type pg from 'pg';
import { describe, expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { startServer } from '../support/server.ts';
import { EventReceiver, type ReceivedBatch } from './event-receiver.ts';
import { RunningWalpost } from './running-walpost.ts';
import { newClient, newPool } from '../support/client.ts';

const LONG = process.env['WALPOST_LONG'] === '1';
const EVENTS = LONG ? 20_000 : 3_000;
const WRITERS = 8;

/** A receiver that looks each row up the moment its event arrives, before it answers; counts what it did not find. */
class Looker {
  misses = 0;
  readonly #pool: pg.Pool;

  constructor(pool: pg.Pool) {
    this.#pool = pool;
  }

  readonly take = async ({ events }: ReceivedBatch): Promise<void> => {
    const ids = events.map(({ event_id }) => event_id);
    const { rows } = await this.#pool.query<{ found: number }>(
      'SELECT count(*)::int AS found FROM walpost.outbox WHERE event_id = ANY ($1)',
      [ids],
    );
    this.misses += ids.length - (rows[0]?.found ?? 0);
  };
}

/** One event a transaction; each organization writes seldom, so that with leading_edge nearly every event leaves at once. */
async function writeSingles(database: TestDatabase, events: number): Promise<void> {
  const write = async (writer: number): Promise<void> => {
    const client = await database.client();
    for (let n = writer; n < events; n += WRITERS) {
      await client.query(
        `INSERT INTO walpost.outbox (organization_id, event_type, payload)
         VALUES (md5($1::text)::uuid, 'a.b', jsonb_build_object('text', repeat('x', ($1::int * 37) % 2000)))`,
        [n % 1_000],
      );
    }
  };
  await Promise.all(Array.from({ length: WRITERS }, (_, writer) => write(writer)));
}

/** How many of the rows were not found, of how many events. */
async function lookUps(server: string | undefined, config: Record<string, object>) {
  await using database = await createTestDatabase(server === undefined ? {} : { server });
  const pool = newPool({ connectionString: database.url, max: 8 });
  try {
    const looker = new Looker(pool);
    await using receiver = await EventReceiver.start(looker.take);
    await using walpost = await RunningWalpost.start({ database, sinks: { hook: receiver.sink() }, config });
    await writeSingles(database, EVENTS);
    await receiver.received(EVENTS, 60_000);
    expect(await walpost.stop()).toMatchObject({ code: 0 });
    process.stdout.write(`${JSON.stringify(config)}: ${looker.misses} of ${receiver.count} rows were not there\n`);
    return { misses: looker.misses, events: receiver.count };
  } finally {
    await pool.end();
  }
}

describe('whoever looks the row up when its event arrives finds it', { timeout: 120_000 }, () => {
  test('with the window of 250 ms', async () => {
    expect(await lookUps(undefined, {})).toEqual({ misses: 0, events: EVENTS });
  });

  test('with leading_edge', async () => {
    expect(await lookUps(undefined, { batching: { leading_edge: true } })).toEqual({ misses: 0, events: EVENTS });
  });

  // What follows shows that the two above can fail: the commit is held between its record and its visibility.
  test('but not when walpost is told not to wait for it', async () => {
    await using server = await startServer('17', { settings: SYNCHRONOUS });
    const config = { batching: { leading_edge: true }, delivery: { wait_visible: false } };
    await using stuck = await stuckCommit(server.url(), config);
    await stuck.receiver.received(1, 5_000);
    expect(stuck.looker.misses).toBe(1);
  });
});

/** Commits wait for a standby that is not there. */
const SYNCHRONOUS = { synchronous_standby_names: 'away' };

/** A walpost beside a commit that hangs in the server. */
async function stuckCommit(server: string, config: Record<string, object>) {
  const database = await createTestDatabase({ server: `${server}?options=-csynchronous_commit%3Dlocal` });
  const pool = newPool({ connectionString: database.url, max: 2 });
  const looker = new Looker(pool);
  const receiver = await EventReceiver.start(looker.take);
  const url = new URL(database.url);
  const walpost = await RunningWalpost.start({ database, sinks: { hook: receiver.sink() }, config });
  url.searchParams.delete('options');
  const writer = newClient({ connectionString: url.href, application_name: 'stuck' });
  await writer.connect();
  const committed = writer.query(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload) VALUES (gen_random_uuid(), 'a.b', '{}')`,
  );
  committed.catch(() => undefined);
  return {
    database,
    receiver,
    looker,
    walpost,
    committed,
    async [Symbol.asyncDispose]() {
      await database.query(`ALTER SYSTEM SET synchronous_standby_names = ''`);
      await database.query('SELECT pg_reload_conf()');
      await committed;
      await walpost[Symbol.asyncDispose]();
      await receiver[Symbol.asyncDispose]();
      await writer.end();
      await pool.end();
      await database[Symbol.asyncDispose]();
    },
  };
}

test('while a synchronous standby is away the event waits, and leaves when the commit returns', async () => {
  await using server = await startServer('17', { settings: SYNCHRONOUS });
  await using stuck = await stuckCommit(server.url(), { batching: { leading_edge: true } });
  const { receiver, looker, walpost, database } = stuck;
  while ((await walpost.metric('walpost_events_received_total')) < 1) await delay(20);
  await delay(1_000); // longer than any window: nothing may come, so nothing can signal
  expect(receiver.count).toBe(0);
  await database.query(`ALTER SYSTEM SET synchronous_standby_names = ''`);
  await database.query('SELECT pg_reload_conf()');
  await stuck.committed;
  await receiver.received(1, 5_000);
  expect(looker.misses).toBe(0);
});
