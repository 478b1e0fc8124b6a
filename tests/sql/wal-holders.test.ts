/** What keeps WAL or commits waiting is named, with what to do, on the oldest server and on a new one. */
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import type pg from 'pg';
import type { EmbeddedPostgres } from '../../src/demo/postgres/embedded-postgres.ts';
import { createRole } from '../support/database-role.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { settleAll } from '../support/settled-checkpoint.ts';
import { type PostgresMajor, startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';

describe.each<PostgresMajor>(['15', '17'])('PostgreSQL %s', { timeout: 60_000 }, (version) => {
  let server: EmbeddedPostgres;
  let database: TestDatabase;
  beforeAll(async () => {
    // Commits of this test must not wait for the standby that is named in it.
    const settings = { max_prepared_transactions: '5', synchronous_commit: 'local' };
    server = await startServer(version, { settings });
  }, 120_000);
  afterAll(() => server[Symbol.asyncDispose]());
  beforeEach(async () => {
    database = await createTestDatabase({ server: server.url() });
    await set({ grace_seconds: 0, held_seconds: 0, held_bytes: 1 });
  });
  afterEach(() => database[Symbol.asyncDispose]());

  const set = async (settings: Record<string, number>): Promise<void> => {
    for (const [name, value] of Object.entries(settings)) {
      await database.query(
        `INSERT INTO walpost.settings (name, value) VALUES ($1, to_jsonb($2::integer))
         ON CONFLICT (name, topic) DO UPDATE SET value = excluded.value`,
        [`alert_${name}`, value],
      );
    }
  };
  const holders = () => database.query('SELECT kind, slot, subject, message, remedy FROM walpost.wal_holders');
  const alerts = () =>
    database.query(`SELECT name, severity, subject, message, remedy FROM walpost.alerts WHERE name LIKE 'held_by_%'`);
  const pidOf = async (client: pg.Client): Promise<number> =>
    (await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid ?? 0;
  const ourSlot = async (): Promise<void> => {
    await settleAll(database, database.slotName);
    await database.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [database.slotName]);
  };

  test('nothing holds it in peace', async () => {
    expect(await holders()).toEqual([]);
  });

  test('an old transaction that has written: pid, user, application, when its statement began, and no text of it', async () => {
    const client = await database.client();
    await client.query(`SET application_name = 'night job'`);
    await client.query('BEGIN');
    expect(await holders()).toEqual([]);
    await client.query(`SELECT pg_current_xact_id(), 'a secret'`);
    const pid = await pidOf(client);
    const found = {
      subject: `server process ${pid}`,
      message: expect.stringMatching(
        new RegExp(
          `^server process ${pid} \\(role postgres, application 'night job', database \\w+\\) keeps a transaction open that has written, since \\d{4}-[\\d-]+ [\\d:]+ UTC; its last statement began [\\d-]+ [\\d:]+ UTC$`,
        ),
      ) as string,
      remedy: `End it in its application, or with SELECT pg_terminate_backend(${pid});`,
    };
    expect(await holders()).toEqual([{ kind: 'transaction', slot: null, ...found }]);
    expect(JSON.stringify(await holders())).not.toContain('secret');
    expect(await alerts()).toEqual([{ name: 'held_by_transaction', severity: 'warning', ...found }]);
    await set({ held_seconds: 300 });
    expect(await alerts()).toEqual([]);
    await set({ grace_seconds: 30 });
    expect(await holders()).toEqual([]);
    await set({ grace_seconds: 0, held_seconds: 0 });
    const [, statement = ''] = /(SELECT pg_terminate_backend\(\d+\);)$/.exec(found.remedy) ?? [];
    client.on('error', () => undefined);
    await database.query(statement);
    await poll('it is over', async () => ((await holders()).length === 0 ? true : undefined));
    expect(await alerts()).toEqual([]);
  });

  test('who may not see when it began is told once it visibly holds the slot, as unknown', async () => {
    await using role = await createRole(database, { in: ['walpost_operator'] });
    const client = await database.client();
    await client.query('BEGIN; SELECT pg_current_xact_id()');
    const operator = await role.client();
    const seen = async () => (await operator.query('SELECT kind, message FROM walpost.wal_holders')).rows as unknown[];
    expect(await seen()).toEqual([]);
    // A slot that is confirmed far beyond where decoding would begin again.
    await client.query('ROLLBACK');
    await ourSlot();
    await client.query('BEGIN; SELECT pg_current_xact_id()');
    await database.query(`SELECT pg_logical_emit_message(false, 'x', repeat('x', 100000))`);
    await database.query('SELECT pg_replication_slot_advance($1, pg_current_wal_lsn())', [database.slotName]);
    expect(await seen()).toEqual([
      { kind: 'transaction', message: expect.stringMatching(/since unknown; its last statement began unknown$/) },
    ]);
    await client.query('ROLLBACK');
  });

  test('an older transaction whose beginning may not be seen does not hide one that may', async () => {
    await using role = await createRole(database, { in: ['walpost_operator'] });
    const older = await database.client();
    await older.query('BEGIN; SELECT pg_current_xact_id()');
    const client = await role.client();
    await client.query('BEGIN; SELECT pg_current_xact_id()');
    const operator = await role.client();
    const { rows } = await operator.query('SELECT kind, subject FROM walpost.wal_holders');
    expect(rows).toEqual([{ kind: 'transaction', subject: `server process ${await pidOf(client)}` }]);
    await Promise.all([older, client].map((one) => one.query('ROLLBACK')));
  });

  test('a prepared transaction: gid, owner, since', async () => {
    const client = await database.client();
    await client.query(`BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'order ''7'''`);
    const found = {
      subject: `order '7'`,
      message: expect.stringMatching(
        /^prepared transaction 'order ''7''' \(role postgres, database \w+\) is open since [\d-]+ [\d:]+ UTC$/,
      ) as string,
      remedy: `In database ${database.name}: COMMIT PREPARED 'order ''7'''; or ROLLBACK PREPARED 'order ''7''';`,
    };
    expect(await holders()).toEqual([{ kind: 'prepared_transaction', slot: null, ...found }]);
    expect(await alerts()).toEqual([{ name: 'held_by_prepared_transaction', severity: 'warning', ...found }]);
    const [, statement = ''] = /(ROLLBACK PREPARED .+;)$/.exec(found.remedy) ?? [];
    await client.query(statement);
    expect(await holders()).toEqual([]);
    expect(await alerts()).toEqual([]);
  });

  test('a prepared transaction that has just begun to wait does not hide one that waits for long', async () => {
    await set({ grace_seconds: 2 });
    const [older, waiting] = [await database.client(), await database.client()];
    for (const client of [older, waiting]) await client.query('BEGIN; SELECT pg_current_xact_id()');
    await waiting.query(`PREPARE TRANSACTION 'waiting'`);
    // The other transaction, which began before, is found before it.
    await poll('it waits for long', async () => (await holders()).find(({ subject }) => subject === 'waiting'));
    await older.query(`PREPARE TRANSACTION 'just now'`);
    const found = await holders();
    for (const name of ['waiting', 'just now']) await database.query(`ROLLBACK PREPARED '${name}'`);
    expect(found).toMatchObject([{ kind: 'prepared_transaction', subject: 'waiting' }]);
  });

  test('a prepared transaction whose role is gone does not break the view', async () => {
    const client = await database.client();
    await client.query('CREATE ROLE holder_gone; SET ROLE holder_gone');
    await client.query(`BEGIN; SELECT pg_current_xact_id(); PREPARE TRANSACTION 'left'`);
    await client.query('RESET ROLE; DROP ROLE holder_gone');
    const [found] = await holders();
    await client.query(`ROLLBACK PREPARED 'left'`);
    expect(found?.message).toContain(`prepared transaction 'left' (role unknown, database`);
  });

  test('a slot of others that keeps more WAL than ours, and not one that keeps less', async () => {
    const other = `${database.slotName}_x`;
    await database.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [other]);
    await database.query(`SELECT pg_logical_emit_message(false, 'x', repeat('x', 1000))`);
    await ourSlot();
    const found = {
      subject: other,
      message: expect.stringMatching(
        new RegExp(`^slot ${other} keeps .+ of WAL, more than any slot of walpost here; nobody reads from it$`),
      ) as string,
      remedy: `Start what reads from it, or if nothing does any more: SELECT pg_drop_replication_slot('${other}');`,
    };
    expect(await holders()).toEqual([{ kind: 'slot', slot: null, ...found }]);
    expect(await alerts()).toEqual([{ name: 'held_by_slot', severity: 'warning', ...found }]);
    const [, statement = ''] = /(SELECT pg_drop_replication_slot\(.+\);)$/.exec(found.remedy) ?? [];
    await database.query(statement);
    expect(await holders()).toEqual([]);
    await database.query(`SELECT pg_create_logical_replication_slot($1, 'pgoutput')`, [other]);
    expect(await holders()).toEqual([]);
  });

  test.each([
    ['nightly', 'nobody is connected'],
    ['FIRST 2 ("a ""b""", nightly)', 'nobody is connected'],
  ])('commits that wait for %s', async (names, who) => {
    await database.query(`ALTER SYSTEM SET synchronous_standby_names = ${"'" + names.replaceAll("'", "''") + "'"}`);
    await database.query('SELECT pg_reload_conf()');
    try {
      const found = {
        subject: names,
        message: `commits wait for synchronous_standby_names (${names}): ${who}`,
        remedy: 'Start the standby that is named, or take it out of synchronous_standby_names and reload the server.',
      };
      await poll('it is noticed', async () => (await holders())[0]);
      expect(await holders()).toEqual([{ kind: 'standby', slot: null, ...found }]);
      expect(await alerts()).toEqual([{ name: 'held_by_standby', severity: 'critical', ...found }]);
    } finally {
      await database.query('ALTER SYSTEM RESET synchronous_standby_names');
      await database.query('SELECT pg_reload_conf()');
      await poll('it is over', async () => ((await holders()).length === 0 ? true : undefined));
    }
  });

  test('a lane that fails and is not parked, by its sink and organization', async () => {
    await ourSlot();
    await database.query(
      `INSERT INTO walpost.lanes (slot, sink, organization_id, state, failing_since, attempts, reason)
       VALUES ($1, 'hook', '6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f11', 'failing', now() - interval '1 hour', 3, 'HTTP 503')`,
      [database.slotName],
    );
    const subject = 'sink hook, organization 6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f11';
    expect(await holders()).toEqual([
      expect.objectContaining({
        kind: 'lane',
        slot: database.slotName,
        subject,
        message: expect.stringContaining('HTTP 503'),
      }),
    ]);
    expect(await alerts()).toMatchObject([{ name: 'held_by_lane', subject }]);
    await database.query(
      `INSERT INTO walpost.parked (slot, epoch, sink, organization_id, history, order_lsn, order_job, place, commit_lsn, ordinal,
                                   event_id, event_type, event_version, topic, payload, headers, size, received_at)
       VALUES ($1, 1, 'hook', '6f1c2a52-8c0e-4d6e-9a50-0d5d2f2f5f11', 0, '0/1', false, 0, '0/1', 0, 'e', 'a', 1, 't', '{}', '{}', 1, now())`,
      [database.slotName],
    );
    expect(await holders()).toEqual([]);
  });
});
