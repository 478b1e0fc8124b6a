/** Rows that were loaded from another cluster bring transaction numbers which lie in the future here. */
import { randomUUID } from 'node:crypto';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { CursorStore } from '../../src/postgres/cursor/cursor-store.ts';
import { createPool } from '../../src/postgres/pool.ts';
import { restampRestored } from '../../src/postgres/source/restored-rows.ts';
import { createRole } from '../support/database-role.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { debianPostgresMissing, startDebianPostgres } from '../support/debian-postgres.ts';
import { dump, load } from '../support/debian-programs.ts';
import { EventLog } from '../support/event-log.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';
import { HealingScene } from './healing-scene.ts';

const missing = await debianPostgresMissing();
const FUTURE = 5_000_000_000;
const organization = randomUUID();

/** Rows as a COPY brings them: number of the transaction and seq, as they were elsewhere. */
const copied = async (
  database: TestDatabase,
  rows: readonly (readonly [xid: number, seq: number])[],
): Promise<string[]> => {
  const written = await database.query<{ id: string; xid: string; seq: string }>(
    `INSERT INTO walpost.outbox (organization_id, event_type, payload, created_xid, seq, created_at) OVERRIDING SYSTEM VALUE
     SELECT $1, 'old', '{}', r.xid::text::xid8, r.seq, now() - interval '9 days' FROM unnest($2::bigint[], $3::bigint[]) AS r (xid, seq)
     RETURNING event_id::text AS id, created_xid::text AS xid, seq::text AS seq`,
    [organization, rows.map(([xid]) => xid), rows.map(([, seq]) => seq)],
  );
  const key = (row: { xid: string; seq: string }): number => Number(row.xid) * 1000 + Number(row.seq);
  return written.toSorted((a, b) => key(a) - key(b)).map(({ id }) => id);
};
const publish = async (database: TestDatabase): Promise<string> =>
  (await database.query<{ id: string }>(`SELECT walpost.publish($1, 'new', '{}')::text AS id`, [organization]))[0]
    ?.id ?? '';
const inOrder = async (database: TestDatabase): Promise<string[]> =>
  (
    await database.query<{ id: string }>('SELECT event_id::text AS id FROM walpost.outbox ORDER BY created_xid, seq')
  ).map(({ id }) => id);

/** Transactions that overlapped: the younger wrote first. One number lies in the past here too. */
const OLD = [
  [FUTURE + 7, 40],
  [FUTURE + 1, 30],
  [FUTURE + 2, 10],
  [FUTURE + 1, 31],
  [FUTURE + 9, 5],
  [12, 900],
  [FUTURE + 7, 39],
] as const;

describe('in one database', () => {
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

  test(
    'a heal sends what is parked, then the old rows in their order, then the new; all is proven and pruned',
    { timeout: 60_000 },
    async () => {
      const slot = database.slotName;
      await database.query(
        `INSERT INTO walpost.cursor (slot, epoch, lsn, system_identifier, timeline) VALUES ($1, 3, '0/10', '7', 1)`,
        [slot],
      );
      await database.query(`INSERT INTO walpost.jobs (slot, kind, before_xid) VALUES ($1, 'replay', '5000000000')`, [
        slot,
      ]);
      const waiting = randomUUID();
      await database.query(
        `INSERT INTO walpost.parked (slot, epoch, sink, organization_id, history, order_lsn, order_job, place, commit_lsn, ordinal,
                                   event_id, event_type, event_version, topic, payload, headers, size, received_at)
       VALUES ($1, 3, 'hook', $2, 0, 'F/F', false, 0, 'F/F', 0, $3, 'parked', 1, 'default', '{}', '{}', 10, now())`,
        [slot, organization, waiting],
      );
      const old = await copied(database, OLD);
      const fresh = [await publish(database), await publish(database)];
      await using relay = await RelayInProcess.start({ database, sinks: log.sinks, source: { existing: 'deliver' } });
      const live = await publish(database);
      await log.has([waiting, ...old, ...fresh, live]);
      expect(log.events.map(({ event_id }) => event_id)).toEqual([waiting, ...old, ...fresh, live]);
      expect(await inOrder(database)).toEqual([...old, ...fresh, live]);

      const statuses = (): Promise<unknown[]> =>
        database.query('SELECT DISTINCT walpost.event_status(id) AS status FROM unnest($1::uuid[]) AS id', [
          [...old, ...fresh],
        ]);
      await poll(
        'all is delivered',
        async () => {
          await publish(database);
          const found = await statuses();
          return (found.length === 1 && JSON.stringify(found).includes('delivered')) || undefined;
        },
        20_000,
      );
      await relay.stop();
      expect(await database.query(`SELECT walpost.prune('72 hours') AS n`)).toEqual([{ n: String(old.length) }]);
      expect(await database.query(`SELECT state, error FROM walpost.jobs WHERE kind = 'replay'`)).toEqual([
        { state: 'failed', error: expect.stringMatching(/The database is a copy.*Ask for the replay again/) },
      ]);
    },
  );

  test('interrupted after a batch it goes on, also in partitions, and as a role with the rights of the relay', async () => {
    await database.query('SELECT walpost.partition_outbox()');
    const old = await copied(database, OLD);
    const fresh = [await publish(database), await publish(database)];
    await using role = await createRole(database, { in: ['walpost_relay'] });
    const pool = createPool(role.url, { applicationName: 'restamp', max: 1 });
    try {
      const cursor = await CursorStore.claim(pool, { slot: 'test', systemIdentifier: '7', timeline: 1 });
      const stop = new AbortController();
      const quiet = { info: () => undefined, error: () => undefined };
      const options = { pool, cursor, table: 'walpost.outbox', batch: 2 };
      let held = 0;
      const stopping = {
        lockEpoch: async (client: never) => (++held === 3 && stop.abort(new Error('killed')), cursor.lockEpoch(client)),
      };
      const killed = restampRestored({ ...options, cursor: stopping, log: quiet, signal: stop.signal });
      await expect(killed).rejects.toThrow('killed');
      const left = await database.query(`SELECT FROM walpost.outbox WHERE created_xid >= '${FUTURE}'`);
      expect(left).toHaveLength(2);
      await restampRestored({ ...options, log: quiet });
      expect(await inOrder(database)).toEqual([...old, ...fresh]);
      await restampRestored({ ...options, log: quiet });
      expect(await inOrder(database)).toEqual([...old, ...fresh]);
      await CursorStore.claim(pool, { slot: 'test', systemIdentifier: '7', timeline: 1 });
      await expect(restampRestored({ ...options, log: quiet })).rejects.toMatchObject({ code: 'LEADERSHIP_LOST' });
    } finally {
      await pool.end();
    }
  });

  test('rows that were written before the load stay behind the loaded ones; savepoints and a frozen row are no load', async () => {
    await database.query('BEGIN');
    await publish(database);
    await database.query('SAVEPOINT s');
    await publish(database);
    await database.query('COMMIT');
    await database.query('VACUUM (FREEZE) walpost.outbox');
    expect(await database.query('SELECT walpost_internal.begin_restamp() AS stamp')).toEqual([{ stamp: null }]);
    const before = await inOrder(database);
    const old = await copied(
      database,
      OLD.filter(([xid]) => xid > FUTURE),
    );
    const fresh = await publish(database);
    await database.query(`SELECT walpost_internal.restamp(walpost_internal.begin_restamp(), 100)`);
    expect(await inOrder(database)).toEqual([...old, ...before, fresh]);
  });

  test('rows that are loaded while the relay streams come over the stream, and are proven like any other', async () => {
    await using relay = await RelayInProcess.start({ database, sinks: log.sinks });
    await publish(database);
    const old = await copied(database, OLD);
    await log.has(old);
    await poll(
      'all is delivered',
      async () => {
        await publish(database);
        const left = await database.query(
          `SELECT FROM unnest($1::uuid[]) AS id WHERE walpost.event_status(id) IS DISTINCT FROM 'delivered'`,
          [old],
        );
        return left.length === 0 || undefined;
      },
      20_000,
    );
    expect((await inOrder(database)).filter((id) => old.includes(id))).toEqual(old);
    await relay.stop();
  });

  test('a mapped table is left alone and named, and the remedy works', async () => {
    await database.query(
      'CREATE TABLE app_outbox (created_xid xid8 NOT NULL DEFAULT pg_current_xact_id(), seq bigint GENERATED ALWAYS AS IDENTITY)',
    );
    await database.query(`INSERT INTO app_outbox (created_xid) VALUES ('${FUTURE}')`);
    const pool = createPool(database.url, { applicationName: 'restamp', max: 1 });
    try {
      const told: { code?: string; remedy?: string }[] = [];
      const log = { info: () => undefined, error: (about: object) => told.push(about) };
      const options = { pool, cursor: { lockEpoch: async () => undefined }, table: 'public.app_outbox', log };
      await restampRestored(options);
      expect(told).toEqual([
        { code: 'RESTORED_ROWS', table: 'public.app_outbox', remedy: expect.any(String) as string },
      ]);
      await database.query(/UPDATE .*;/.exec(told[0]?.remedy ?? '')?.[0] ?? '');
      await restampRestored(options);
      expect(told).toHaveLength(1);
    } finally {
      await pool.end();
    }
  });
});

/** By organization, in the order of the table. */
async function idsOf(scene: HealingScene): Promise<Map<string, string[]>> {
  const rows = (await scene.query(
    `SELECT organization_id::text AS org, array_agg(event_id::text ORDER BY created_xid, seq) AS ids FROM walpost.outbox GROUP BY 1`,
  )) as { org: string; ids: string[] }[];
  return new Map(rows.map(({ org, ids }) => [org, ids]));
}

describe.skipIf(missing)('from another cluster', { timeout: 240_000 }, () => {
  const noise = `DO $$ BEGIN FOR n IN 1..3000 LOOP PERFORM pg_current_xact_id(); COMMIT; END LOOP; END $$`;
  const arrived = (scene: HealingScene): Map<string, string[]> => {
    const first = new Map<string, Set<string>>();
    for (const { organization_id: org, event_id: id } of scene.log.events)
      first.set(org, (first.get(org) ?? new Set()).add(id));
    return new Map([...first].map(([org, ids]) => [org, [...ids]]));
  };

  async function worksOn(
    scene: HealingScene,
    old: Map<string, string[]>,
    relay: RelayInProcess,
    fresh: string[],
  ): Promise<void> {
    await scene.log.has([...[...old.values()].flat(), ...fresh], 60_000);
    for (const [org, ids] of old) expect(arrived(scene).get(org)?.slice(0, ids.length)).toEqual(ids);
    const ids = [...old.values()].flat();
    await poll(
      'all is delivered',
      async () => {
        await scene.publish(1);
        const left = await scene.query(
          `SELECT FROM unnest('{${ids.join(',')}}'::uuid[]) AS id WHERE walpost.event_status(id) IS DISTINCT FROM 'delivered'`,
        );
        return left.length === 0 || undefined;
      },
      60_000,
    );
    await relay.stop();
    await scene.query(`SELECT walpost.prune('0')`);
    expect(await scene.query(`SELECT FROM walpost.outbox WHERE event_id = ANY ('{${ids.join(',')}}')`)).toEqual([]);
  }

  test('a dump of Postgres 15 that is loaded into another Postgres 15', async () => {
    const directory = await mkdtemp(join(tmpdir(), 'walpost-restored-'));
    try {
      await using source = await startDebianPostgres();
      await using from = await HealingScene.set({ server: source.url() });
      await from.publish(4);
      await from.query(noise);
      await from.publish(8);
      const old = await idsOf(from);
      await dump(from.database.url, join(directory, 'dump'));

      await using target = await startDebianPostgres();
      await using _roles = await createTestDatabase({ server: target.url() });
      await using to = await HealingScene.set({ server: target.url(), migrated: false });
      await load(to.database.url, join(directory, 'dump'));
      const fresh = await to.publish(6);
      await using relay = new RelayInProcess(to.options({ source: { existing: 'deliver' } }));
      await relay.streams(60_000);
      await worksOn(to, old, relay, fresh);
    } finally {
      await rm(directory, { recursive: true });
    }
  });

  test('a logical copy of the outbox from Postgres 15 to 17', async () => {
    await using source = await startDebianPostgres();
    await using from = await HealingScene.set({ server: source.url() });
    await from.query(noise);
    await from.publish(8);
    const old = await idsOf(from);
    await using target = await startServer('17');
    await using to = await HealingScene.set({ server: target.url() });
    await to.query(`CREATE SUBSCRIPTION copy CONNECTION '${from.database.url}' PUBLICATION walpost`);
    await poll(
      'the rows are there',
      async () => (await to.query('SELECT FROM walpost.outbox')).length === 8 || undefined,
    );
    const last = await from.publish(4); // these are applied one by one
    await poll(
      'the later rows are there',
      async () => (await to.query('SELECT FROM walpost.outbox')).length === 12 || undefined,
    );
    for (const [org, list] of await idsOf(from)) old.set(org, list);
    await to.query('DROP SUBSCRIPTION copy');
    const fresh = await to.publish(6);
    await using relay = new RelayInProcess(to.options({ source: { existing: 'deliver' } }));
    await relay.streams(60_000);
    expect(last).toHaveLength(4);
    await worksOn(to, old, relay, fresh);
  });
});
