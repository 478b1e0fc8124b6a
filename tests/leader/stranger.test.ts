/** Any role that can connect may take an advisory lock: then nobody leads, and everybody is told why. */
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import type pg from 'pg';
import { leaderLockKey } from '../../src/leader/lock-key.ts';
import { ConfigFile } from '../support/config-file.ts';
import { createRole, type DatabaseRole } from '../support/database-role.ts';
import { createTestDatabase, type TestDatabase } from '../support/database.ts';
import { RelayInProcess } from '../support/relay-in-process.ts';
import { type PostgresMajor, startServer } from '../support/server.ts';
import { poll } from '../support/slot-session.ts';
import { walpost } from '../support/walpost-cli.ts';

let database: TestDatabase;
let stranger: DatabaseRole;
beforeEach(async () => {
  database = await createTestDatabase();
  stranger = await createRole(database, { in: ['walpost_publisher'] });
});
afterEach(async () => {
  await stranger[Symbol.asyncDispose]();
  await database[Symbol.asyncDispose]();
});

const config = () => ({ database, sinks: { out: { type: 'discard' } } });
const key = () => leaderLockKey(database.slotName).toString();
const pidOf = async (client: pg.Client): Promise<number> =>
  (await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid')).rows[0]?.pid ?? 0;

async function tells(relay: RelayInProcess, text: string): Promise<void> {
  await poll('/readyz names the stranger', async () => {
    const { ready, detail } = relay.service.readiness();
    return (!ready && detail.includes(text)) || undefined;
  });
}

describe('a stranger that holds the leader lock', { timeout: 90_000 }, () => {
  test.each(['pg_advisory_lock', 'pg_advisory_lock_shared'])(
    'with %s is named in the log, /readyz, the status and the alerts; ended, the relay leads',
    async (lock) => {
      {
        await using first = await RelayInProcess.start(config()); // so that there is a cursor row
        await first.stop();
      }
      const session = await stranger.client();
      const pid = await pidOf(session);
      await session.query(`SET application_name = 'walpost leader'`);
      await session.query(`SELECT ${lock}($1)`, [key()]);
      await using relay = new RelayInProcess(config());
      await tells(relay, `server process ${pid} (role ${stranger.name}, application walpost leader)`);
      const lines = relay.lines.filter((line) => line.includes('LEADER_LOCK_TAKEN'));
      expect(lines).toEqual([expect.stringContaining(`pg_terminate_backend(${pid})`)]);
      const alert = { name: 'leader_lock_taken', severity: 'critical', subject: database.slotName };
      expect((await relay.service.status()).alerts).toEqual([
        { ...alert, message: expect.stringContaining(stranger.name), remedy: expect.stringContaining(String(pid)) },
      ]);
      // No `slot_inactive` beside it: to start a process would not help.
      expect(await database.query('SELECT name, severity, subject, message FROM walpost.alerts')).toEqual([
        { ...alert, message: expect.stringContaining(`server process ${pid} (role ${stranger.name}`) },
      ]);
      using file = new ConfigFile(
        JSON.stringify({
          database: { url: database.url },
          source: { slot: database.slotName },
          sinks: { out: { type: 'discard' } },
          routes: [{ to: ['out'] }],
          http: { port: 1 },
        }),
      );
      const { stdout } = await walpost(['status', '--config', file.path]);
      expect(stdout).toContain(`server process ${pid}`);
      expect(stdout).not.toContain('Start `walpost run`');

      await database.query('SELECT pg_terminate_backend($1)', [pid]);
      await relay.streams();
      expect(await database.query(`SELECT FROM walpost.alerts WHERE name = 'leader_lock_taken'`)).toEqual([]);
      expect((await relay.service.status()).alerts).toEqual([]);
      await relay.stop();
    },
  );

  test('under a role that may lead, in a program that is none of ours', async () => {
    const session = await database.client();
    await session.query('SELECT pg_advisory_lock($1)', [key()]);
    await using relay = new RelayInProcess(config());
    await tells(relay, `server process ${await pidOf(session)}`);
    await session.query('SELECT pg_advisory_unlock_all()');
    await relay.streams();
    await relay.stop();
  });

  test('that waited for it until the leader went is named too', async () => {
    await using first = await RelayInProcess.start(config());
    const session = await stranger.client();
    const pid = await pidOf(session);
    const waiting = session.query('SELECT pg_advisory_lock($1)', [key()]);
    await first.stop();
    await waiting;
    await using relay = new RelayInProcess(config());
    await tells(relay, `server process ${pid}`);
    await session.end();
    await relay.streams();
    await relay.stop();
  });
});

test.each<PostgresMajor>(['15', '17'])(
  'on Postgres %s a prepared transaction, which has no process, is named, and the remedy works',
  { timeout: 90_000 },
  async (version) => {
    await using server = await startServer(version, { settings: { max_prepared_transactions: '2' } });
    await using own = await createTestDatabase({ server: server.url() });
    await using publisher = await createRole(own, { in: ['walpost_publisher'] });
    const slot = own.slotName;
    const session = await publisher.client();
    await session.query(`BEGIN; SELECT pg_advisory_xact_lock(${leaderLockKey(slot)}); PREPARE TRANSACTION 'theirs'`);
    await using relay = new RelayInProcess({ ...config(), database: own });
    await tells(relay, `prepared transaction theirs (role ${publisher.name})`);
    await session.query(`ROLLBACK PREPARED 'theirs'`);
    await relay.streams();
    await relay.stop();
  },
);

test('another relay that leads is no stranger, also with the rights of walpost_relay alone', async () => {
  await using role = await createRole(database, { in: ['walpost_relay'], attributes: 'REPLICATION' });
  await using leader = await RelayInProcess.start({ ...config(), database: { ...database, url: role.url } });
  await using standby = new RelayInProcess(config());
  await poll('it stands by', async () => standby.service.readiness().role === 'standby' || undefined);
  expect(standby.service.readiness()).toMatchObject({ ready: true, role: 'standby' });
  expect((await standby.service.status()).alerts).toEqual([]);
  await leader.stop();
  await standby.streams();
  await standby.stop();
});
