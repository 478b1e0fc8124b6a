/** A relay whose role has every setting that could end its sessions, or change what they print, delivers as ever. */
import { randomUUID } from 'node:crypto';
import { expect, test } from 'vitest';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { createRole } from '../support/database-role.ts';
import { debianPostgresMissing, startDebianPostgres } from '../support/debian-postgres.ts';
import { EventLog } from '../support/event-log.ts';
import { makeHostile } from '../support/hostile-settings.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';

const noDebian = await debianPostgresMissing();

const WRITE = 'INSERT INTO walpost.outbox (event_id, organization_id, event_type, payload) VALUES ($1, $2, $3, $4)';

async function write(database: TestDatabase, count: number): Promise<string[]> {
  const ids = Array.from({ length: count }, () => randomUUID());
  for (const id of ids) await database.query(WRITE, [id, id, 'thing.made', { text: 'a "b" \\ c', bytes: '\\x00' }]);
  return ids;
}

/** The stream's session has lived for so long, and has not been made again. */
async function outlives(database: TestDatabase, seconds: number): Promise<void> {
  const session = `SELECT pid, clock_timestamp() - backend_start > make_interval(secs => $2) AS old
                     FROM pg_stat_replication WHERE usename = $1::regrole::name`;
  const login = (await database.query<{ role: string }>(`SELECT usename AS role FROM pg_stat_replication`))[0]?.role;
  const first = (await database.query<{ pid: number }>(session, [login, seconds]))[0]?.pid;
  await poll(`the stream is ${seconds} s old`, async () => {
    const [now] = await database.query<{ pid: number; old: boolean }>(session, [login, seconds]);
    expect(now?.pid).toBe(first);
    return now?.old || undefined;
  });
}

test.each(['15', '17'] as const)(
  'Postgres %s: it streams on, nothing comes twice, and a lost slot is healed',
  async (version) => {
    await using server = await startServer(version);
    await using database = await createTestDatabase({ server: server.url() });
    await using login = await createRole(database, { in: ['walpost_relay'], attributes: 'REPLICATION' });
    const reset = await makeHostile(database, `ALTER ROLE "${login.name}"`, login.name);
    await using log = await EventLog.start();
    const own = { database: { ...database, url: login.url }, sinks: log.sinks };
    {
      await using relay = await RelayInProcess.start(own);
      const before = await write(database, 3);
      await log.has(before);
      await outlives(database, 1);
      await log.has(await write(database, 3));
      expect(log.events.length).toBe(log.ids.size);
      await poll('a checkpoint is settled', async () => {
        const rows = await database.query('SELECT FROM walpost.checkpoints WHERE settled_at IS NOT NULL');
        return rows.length > 0 || undefined;
      });
      await relay.stop();
    }
    await database.query('SELECT pg_drop_replication_slot($1)', [database.slotName]);
    const missed = await write(database, 3);
    await using relay = await RelayInProcess.start(own);
    await log.has(missed);
    await log.has(await write(database, 1));
    expect(await database.query('SELECT kind, state FROM walpost.jobs')).toEqual([{ kind: 'heal', state: 'done' }]);
    expect(relay.service.readiness()).toMatchObject({ ready: true });
    await reset();
  },
  60_000,
);

test.skipIf(noDebian !== undefined).each(['pgoutput', 'wal2json'] as const)(
  `%s prints bytes, times and money in one way${noDebian ? `: ${noDebian}` : ''}`,
  async (plugin) => {
    await using server = await startDebianPostgres();
    await using database = await createTestDatabase({ server: server.url() });
    await database.query(
      `CREATE TABLE public.outbox (id bytea, org uuid, kind text, body bytea, entity bytea, at timestamptz, price money)`,
    );
    await using login = await createRole(database, { in: ['walpost_relay'], attributes: 'REPLICATION' });
    await database.query(`GRANT SELECT ON public.outbox TO "${login.name}";
      CREATE PUBLICATION own FOR TABLE public.outbox WITH (publish = 'insert')`);
    const reset = await makeHostile(database, `ALTER ROLE "${login.name}"`, login.name);
    await using log = await EventLog.start();
    const columns = {
      event_id: 'id',
      organization_id: 'org',
      event_type: 'kind',
      payload: 'body',
      entity_id: 'entity',
      created_at: 'at',
      target: 'price',
      topic: null,
      event_version: null,
      entity_type: null,
      idempotency_key: null,
      headers: null,
    };
    const source = { plugin, table: 'public.outbox', publication: 'own', columns };
    await using _relay = await RelayInProcess.start({
      database: { ...database, url: login.url },
      sinks: log.sinks,
      source,
    });
    const id = '\\x005cff27';
    await database.query(
      `INSERT INTO public.outbox VALUES ($1, $2, 'thing.made', '\\x0061ff5c', '\\x00ff', '2026-11-02 14:00:00.1+00', 12.5)`,
      [id, randomUUID()],
    );
    await log.has([id]);
    expect(log.events[0]).toMatchObject({ event_id: id, entity_id: '\\x00ff', payload: '\\x0061ff5c' });
    expect(JSON.stringify(log.events[0])).toContain('2026-11-02');
    await reset();
  },
);
