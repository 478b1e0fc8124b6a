/** The stores that drop repeats, on a real Postgres and a real Redis, with the libraries that receivers use. */
import { createRequire } from 'node:module';
import { join } from 'node:path';
import type pg from 'pg';
import { afterAll, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import {
  type DedupeStore,
  type Envelope,
  type InboxDatabase,
  postgresInbox,
  redisDedupe,
} from '../../packages/consumer/src/index.ts';
import { newPool } from '../support/client.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { installedPackages } from '../support/installed-packages.ts';
import { redisMissing, RedisServer } from '../support/redis-server.ts';

const event = (id: string) => ({ event_id: id }) as Envelope;
const done = async (): Promise<void> => undefined;

/** What is used of postgres.js. */
interface PostgresJs {
  begin(work: (sql: PostgresJs) => Promise<void>): Promise<void>;
  unsafe(text: string, values?: string[]): Promise<readonly unknown[]>;
  end(): Promise<void>;
}

/** One library: a store, and how a handler writes in its transaction. */
interface Library {
  readonly store: DedupeStore<unknown>;
  write(transaction: unknown, text: string): Promise<unknown>;
}

describe('the inbox in Postgres', () => {
  let database: TestDatabase;
  let pool: pg.Pool;
  let sql: PostgresJs;
  const libraries = new Map<string, Library>();

  beforeAll(async () => {
    database = await createTestDatabase({ migrated: false });
    await database.query('CREATE TABLE effects (n integer NOT NULL)');
    await database.query(
      'CREATE TABLE walpost_received (event_id text PRIMARY KEY, received_at timestamptz NOT NULL DEFAULT now())',
    );
    pool = newPool({ connectionString: database.url });
    const require = createRequire(join(await installedPackages('frameworks'), 'package.json'));
    sql = (require('postgres') as (url: string, options: object) => PostgresJs)(database.url, { onnotice: () => {} });
    const ofPostgresJs: InboxDatabase<PostgresJs> = {
      transaction: (work) => sql.begin(work),
      query: (transaction, text, values) => transaction.unsafe(text, values),
    };
    libraries.set('pg', {
      store: postgresInbox<pg.PoolClient>(pool),
      write: (transaction, text) => (transaction as pg.PoolClient).query(text),
    });
    libraries.set('postgres.js', {
      store: postgresInbox(ofPostgresJs),
      write: (transaction, text) => (transaction as PostgresJs).unsafe(text),
    });
  }, 300_000);
  beforeEach(() => database.query('TRUNCATE effects, walpost_received'));
  afterAll(async () => {
    await pool.end();
    await sql.end();
    await database[Symbol.asyncDispose]();
  });

  const effects = async () =>
    (await database.query<{ n: number }>('SELECT n FROM effects ORDER BY n')).map(({ n }) => n);

  describe.each(['pg', 'postgres.js'])('with %s', (name) => {
    const library = () => libraries.get(name) as Library;
    const once = (id: string, text: string) =>
      library().store.once(event(id), async (transaction) => void (await library().write(transaction, text)));

    test('an event is handled once, its id and its effect together', async () => {
      expect(await once('a', 'INSERT INTO effects VALUES (1)')).toBe('handled');
      expect(await once('a', 'INSERT INTO effects VALUES (2)')).toBe('repeated');
      expect(await effects()).toEqual([1]);
    });

    test('a handler that throws leaves nothing, and the event is handled when it comes again', async () => {
      const { store, write } = library();
      const fails = store.once(event('a'), async (transaction) => {
        await write(transaction, 'INSERT INTO effects VALUES (1)');
        throw new Error('after its write');
      });
      await expect(fails).rejects.toThrow('after its write');
      expect(await effects()).toEqual([]);
      expect(await once('a', 'INSERT INTO effects VALUES (2)')).toBe('handled');
      expect(await effects()).toEqual([2]);
    });

    test('a handler that passes over a failed statement is not taken for done', async () => {
      const { store, write } = library();
      const fails = store.once(event('a'), async (transaction) => {
        await write(transaction, 'INSERT INTO effects VALUES (1)');
        await write(transaction, 'INSERT INTO effects VALUES (NULL)').catch(() => undefined);
      });
      await expect(fails).rejects.toMatchObject({ code: expect.stringMatching(/25P02|23502/) as string });
      expect(await once('a', 'INSERT INTO effects VALUES (2)')).toBe('handled');
      expect(await effects()).toEqual([2]);
    });

    test('of the same event twice at once, one handler runs', async () => {
      const { store, write } = library();
      const runs: Promise<unknown>[] = [];
      let started = 0;
      for (let n = 0; n < 4; n += 1) {
        runs.push(
          store.once(event('a'), async (transaction) => {
            started += 1;
            await waitsForLock();
            await write(transaction, `INSERT INTO effects VALUES (${n})`);
          }),
        );
      }
      expect((await Promise.all(runs)).filter((outcome) => outcome === 'repeated')).toHaveLength(3);
      expect([started, (await effects()).length]).toEqual([1, 1]);
    });

    test('the second of two runs the handler when the first rolls back', async () => {
      const { store } = library();
      const first = store.once(event('a'), async () => {
        second = once('a', 'INSERT INTO effects VALUES (2)');
        await waitsForLock();
        throw new Error('the first');
      });
      let second: Promise<unknown> = Promise.resolve();
      await expect(first).rejects.toThrow('the first');
      expect(await second).toBe('handled');
      expect(await effects()).toEqual([2]);
    });
  });

  /** Resolves when a transaction waits at the key of another one. */
  async function waitsForLock(): Promise<void> {
    for (;;) {
      const waiting = await database.query(
        `SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO walpost_received%'`,
      );
      if (waiting.length > 0) return;
    }
  }

  test('a connection that breaks in the handler is not used again, and nothing ends the process', async () => {
    const store = postgresInbox<pg.PoolClient>(pool);
    const fails = store.once(event('a'), async (client) => {
      const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
      await database.query('SELECT pg_terminate_backend($1)', [rows[0]?.pid]);
      await client.query('INSERT INTO effects VALUES (1)');
    });
    await expect(fails).rejects.toThrow(/terminat|connection error/);
    expect(
      await store.once(event('a'), async (client) => void (await client.query('INSERT INTO effects VALUES (2)'))),
    ).toBe('handled');
    expect(await effects()).toEqual([2]);
  });

  test('a table of another name is used, and one that would need quotes is refused', async () => {
    await database.query('CREATE SCHEMA app; CREATE TABLE app.seen (event_id text PRIMARY KEY)');
    const store = postgresInbox<pg.PoolClient>(pool, { table: 'app.seen' });
    expect([await store.once(event('a'), done), await store.once(event('a'), done)]).toEqual(['handled', 'repeated']);
    expect(() => postgresInbox<pg.PoolClient>(pool, { table: 'seen; DROP TABLE seen' })).toThrow(TypeError);
  });
});

const missing = await redisMissing();
describe.skipIf(missing)(`Redis ${missing ?? ''}`, () => {
  let server: RedisServer;
  beforeAll(async () => {
    server = await RedisServer.start();
  });
  beforeEach(() => server.admin.flushall());
  afterAll(() => server[Symbol.asyncDispose]());

  test('an event is remembered for as long as it is told', async () => {
    const store = redisDedupe(server.admin, { prefix: 'hook:', maxAge: 60_000 });
    expect([await store.once(event('a'), done), await store.once(event('a'), done)]).toEqual(['handled', 'repeated']);
    const left = await server.admin.pttl('hook:a');
    expect([left > 50_000, left <= 60_000]).toEqual([true, true]);
  });

  test('an event in hand is busy, for the lease of its handler', async () => {
    const store = redisDedupe(server.admin, { lease: 30_000 });
    const outcomes: unknown[] = [];
    await store.once(event('a'), async () => {
      outcomes.push(await store.once(event('a'), done));
      expect(await server.admin.pttl('walpost:event:a')).toBeGreaterThan(20_000);
    });
    expect([...outcomes, await store.once(event('a'), done)]).toEqual(['busy', 'repeated']);
  });

  test('a handler that throws gives its event back, and not that of another who took it over', async () => {
    const store = redisDedupe((args) => server.admin.call(args[0] ?? '', ...args.slice(1)));
    const fails = (work: () => Promise<unknown>) =>
      store.once(event('a'), async () => {
        await work();
        throw new Error('failed');
      });
    await expect(fails(done)).rejects.toThrow('failed');
    expect(await server.admin.exists('walpost:event:a')).toBe(0);
    await expect(fails(() => server.admin.set('walpost:event:a', 'of another'))).rejects.toThrow('failed');
    expect(await store.once(event('a'), done)).toBe('busy');
  });

  test('commands go through a client like node-redis as well', async () => {
    const store = redisDedupe({
      sendCommand: ([command = '', ...args]: string[]) => server.admin.call(command, ...args),
    });
    expect([await store.once(event('a'), done), await store.once(event('a'), done)]).toEqual(['handled', 'repeated']);
  });
});
