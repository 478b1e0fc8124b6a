/** Each fault is planted, found, mended by what the finding says, and then it is not found any more. */
import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, test, vi } from 'vitest';
import type pg from 'pg';
import { leaderLockKey } from '../../src/leader/lock-key.ts';
import { startServer } from '../support/server.ts';
import { newClient } from '../support/client.ts';
import { poll } from '../support/slot-session.ts';
import { replicationConfig } from '../../src/slot/replication-client.ts';
import { migrate } from '../../src/postgres/schema/migrate.ts';
import { type ExamineOptions, HEALTHY_SETTINGS, Installation } from './installation.ts';

vi.setConfig({ testTimeout: 120_000, hookTimeout: 60_000 });

let server: Awaited<ReturnType<typeof startServer>>;
beforeAll(async () => {
  server = await startServer('17', { settings: HEALTHY_SETTINGS });
});
afterAll(() => server[Symbol.asyncDispose]());

interface Fault {
  readonly code: string;
  /** What was planted, as the finding names it without its remedy; PID is the session's, NAME the database's. */
  readonly names: string;
  /** Statements of the superuser. LOGIN is the login of the relay, APP another one, SLOT the slot, DATABASE the database. */
  readonly plant: string | ((on: Planted) => Promise<unknown>);
  /** What the finding must say. */
  readonly says: RegExp;
  readonly options?: ExamineOptions | ((on: Planted) => ExamineOptions);
  /** In place of the statements of the remedy, for what is no SQL; the remedy has to say it. */
  readonly mend?: (on: Planted, remedy: string) => Promise<unknown>;
  /** It looks itself whether the fault is gone, since what it did ends with it. */
  readonly looks?: true;
  /** What it leaves behind is a fault of its own, so it has an installation of its own. */
  readonly alone?: true;
  /** Statements that leave the server as it was. */
  readonly restore?: string;
}

interface Planted {
  readonly installation: Installation;
  readonly app: string;
  readonly slot: string;
  readonly session: pg.Client;
  sql(text: string): Promise<void>;
  named(text: string): Promise<string>;
}

const restart = async ({ installation }: Planted, remedy: string): Promise<void> => {
  expect(remedy).toContain('walpost run');
  await using relay = await installation.relay();
  await relay.stop();
};

const WRITE = `SELECT pg_logical_emit_message(true, 'a', 'b')`;
const RELOAD = 'SELECT pg_reload_conf()';

const FAULTS: Readonly<Record<string, Fault>> = {
  'the publication is gone': {
    code: 'PUBLICATION_MISSING',
    names: '"walpost"',
    plant: 'DROP PUBLICATION walpost',
    says: /CREATE PUBLICATION "walpost" FOR TABLE "walpost"."outbox"/,
    alone: true,
  },
  'the publication was made anew meanwhile': {
    code: 'SOURCE_INCOMPLETE',
    names: 'publication walpost',
    plant: 'ALTER PUBLICATION walpost DROP TABLE walpost.outbox; ALTER PUBLICATION walpost ADD TABLE walpost.outbox',
    says: /walpost run/,
    mend: (on) => runUntil(on, 'SOURCE_INCOMPLETE'),
    alone: true,
  },
  'the publication has a row filter': {
    code: 'PUBLICATION_TABLE',
    names: '"walpost" has a row filter on walpost.outbox',
    plant: `ALTER PUBLICATION walpost SET TABLE walpost.outbox WHERE (event_type <> 'x')`,
    says: /row filter/,
    alone: true,
  },
  'the publication leaves out columns': {
    code: 'PUBLICATION_TABLE',
    names: '"walpost" leaves out the column',
    plant: 'ALTER PUBLICATION walpost SET TABLE walpost.outbox (event_id)',
    says: /leaves out the column/,
    alone: true,
  },
  'the publication does not hold the table': {
    code: 'PUBLICATION_TABLE',
    names: '"walpost" does not hold walpost.outbox',
    plant: 'CREATE TABLE IF NOT EXISTS other (); ALTER PUBLICATION walpost SET TABLE other',
    says: /does not hold walpost.outbox/,
    alone: true,
  },
  'the publication of walpost publishes updates': {
    code: 'PUBLICATION_MODEL',
    names: 'ublication walpost',
    plant: `ALTER PUBLICATION walpost SET (publish = 'insert, update')`,
    says: /does not publish inserts alone/,
    alone: true,
  },
  'a publication of the operator publishes deletes': {
    code: 'PUBLICATION_OPERATIONS',
    names: 'publication mine',
    plant: `CREATE PUBLICATION mine FOR TABLE walpost.outbox WITH (publish = 'insert, delete', publish_via_partition_root = true)`,
    says: /DELETE/,
    options: { source: { publication: 'mine' } },
  },
  'the publication holds another table': {
    code: 'PUBLICATION_OTHER_TABLES',
    names: 'public.other',
    plant: 'CREATE TABLE IF NOT EXISTS other (); ALTER PUBLICATION walpost ADD TABLE other',
    says: /public\.other/,
    alone: true,
  },
  'the publication holds all tables': {
    code: 'PUBLICATION_OTHER_TABLES',
    names: 'publication walpost',
    plant: `DROP PUBLICATION walpost; CREATE PUBLICATION walpost FOR ALL TABLES WITH (publish = 'insert', publish_via_partition_root = true)`,
    says: /all tables/,
    alone: true,
  },
  'a table inherits from the outbox': {
    code: 'SOURCE_DIVERTED',
    names: 'child inherits from walpost.outbox',
    plant: 'CREATE TABLE public.child () INHERITS (walpost.outbox)',
    says: /public\.child/,
    mend: ({ sql }) => sql('ALTER TABLE public.child NO INHERIT walpost.outbox'),
  },
  'row-level security hides rows from the relay': {
    code: 'ROW_SECURITY',
    names: 'walpost.outbox for role "LOGIN"',
    plant: 'DROP POLICY walpost_relay ON walpost.outbox',
    says: /CREATE POLICY/,
    alone: true,
  },
  'row-level security of a table is off': {
    code: 'ROW_SECURITY_MODEL',
    names: 'walpost.parked',
    plant: 'ALTER TABLE walpost.parked DISABLE ROW LEVEL SECURITY',
    says: /walpost\.parked/,
  },
  'an application was given a table': {
    code: 'RIGHTS_BESIDE_ROLES',
    names: 'APP',
    plant: 'GRANT SELECT ON walpost.outbox TO APP',
    says: /SELECT on walpost\.outbox/,
  },
  'a role of walpost lacks a right': {
    code: 'RIGHTS_LACKING',
    names: 'walpost_reader lacks SELECT on walpost.parked',
    plant: 'REVOKE SELECT ON walpost.parked FROM walpost_reader',
    says: /walpost_reader lacks SELECT/,
  },
  'default privileges open new tables': {
    code: 'DEFAULT_PRIVILEGES',
    names: 'role APP',
    plant: 'ALTER DEFAULT PRIVILEGES IN SCHEMA walpost GRANT SELECT, INSERT ON TABLES TO APP',
    says: /INSERT, SELECT on new TABLES/,
  },
  'default privileges of all schemas': {
    code: 'DEFAULT_PRIVILEGES',
    names: 'role APP',
    plant: 'ALTER DEFAULT PRIVILEGES GRANT EXECUTE ON FUNCTIONS TO APP',
    says: /EXECUTE on new FUNCTIONS/,
  },
  'an application is an operator': {
    code: 'APPLICATION_SEES_ALL',
    names: 'role APP',
    plant: 'GRANT walpost_publisher, walpost_operator TO APP',
    says: /walpost_operator/,
  },
  'an application bypasses row-level security': {
    code: 'APPLICATION_SEES_ALL',
    names: 'role APP',
    plant: 'GRANT walpost_publisher TO APP; ALTER ROLE APP BYPASSRLS',
    says: /BYPASSRLS/,
  },
  'an application is a member of the owner': {
    code: 'APPLICATION_OWNS_SCHEMA',
    names: 'APP',
    plant: 'GRANT walpost_publisher, postgres TO APP',
    says: /rights of the owner/,
  },
  'a captured column is gone': {
    code: 'CAPTURE_BROKEN',
    names: 'jobs',
    plant: `CREATE TABLE public.jobs (id uuid PRIMARY KEY, organization_id uuid NOT NULL, state text);
            SELECT walpost.capture('public.jobs', entity_type => 'job', columns => '{state}');
            ALTER TABLE public.jobs RENAME COLUMN state TO status`,
    says: /walpost\.release\('(public\.)?jobs'\)/,
    mend: ({ sql }, remedy) => sql(`SELECT ${/walpost\.release\('[^']*'\)/.exec(remedy)?.[0] ?? ''}`),
  },
  'a transaction does not end': {
    code: 'LONG_TRANSACTION',
    names: 'process PID',
    plant: async ({ session }) => {
      await session.query('BEGIN');
      await session.query('SELECT pg_current_xact_id()');
    },
    says: /idle in transaction/,
    options: { limits: { transactionSeconds: 0 } },
  },
  'a prepared transaction was forgotten': {
    code: 'PREPARED_TRANSACTION',
    names: "transaction it's forgotten",
    plant: `BEGIN; CREATE TABLE later (); PREPARE TRANSACTION 'it''s forgotten'`,
    says: /ROLLBACK PREPARED 'it''s forgotten';/,
    options: { limits: { transactionSeconds: 0 } },
  },
  'a slot of somebody else keeps log': {
    code: 'OTHER_SLOT_UNREAD',
    names: 'slot left_behind',
    plant: `SELECT pg_create_logical_replication_slot('left_behind', 'test_decoding'); ${WRITE}; SELECT pg_switch_wal(); ${WRITE}; SELECT pg_switch_wal()`,
    says: /left_behind/,
    options: { limits: { unreadBytes: 1024 ** 2 } },
  },
  'a physical slot of somebody else keeps log': {
    code: 'OTHER_SLOT_UNREAD',
    names: 'slot old_standby',
    plant: `SELECT pg_create_physical_replication_slot('old_standby', true); ${WRITE}; SELECT pg_switch_wal(); ${WRITE}; SELECT pg_switch_wal()`,
    says: /physical slot/,
    options: { limits: { unreadBytes: 1024 ** 2 } },
  },
  'the role may open too few connections': {
    code: 'CONNECTIONS_SHORT',
    names: 'role LOGIN',
    plant: 'ALTER ROLE LOGIN CONNECTION LIMIT 6',
    says: /of 6 that are allowed/,
  },
  'the database allows too few connections': {
    code: 'CONNECTIONS_SHORT',
    names: 'database NAME',
    plant: 'ALTER DATABASE DATABASE CONNECTION LIMIT 9',
    says: /of 9 that are allowed/,
  },
  'the login is no member of walpost_relay': {
    code: 'RELAY_ROLE',
    names: 'role LOGIN',
    plant: 'REVOKE walpost_relay FROM LOGIN',
    says: /GRANT "walpost_relay" TO/,
  },
  'the login does not inherit': {
    code: 'RELAY_ROLE',
    names: 'role LOGIN',
    plant: 'GRANT walpost_relay TO LOGIN WITH INHERIT FALSE',
    says: /WITH INHERIT TRUE/,
  },
  'the login may not replicate': {
    code: 'NO_REPLICATION_ROLE',
    names: '"LOGIN"',
    plant: 'ALTER ROLE LOGIN NOREPLICATION',
    says: /REPLICATION;/,
  },
  'the password of the login ends soon': {
    code: 'ROLE_EXPIRES',
    names: 'role LOGIN',
    plant: async ({ sql }) => {
      const tomorrow = new Date(Date.now() + 86_400_000).toISOString();
      await sql(`ALTER ROLE LOGIN VALID UNTIL '${tomorrow}'`);
    },
    says: /ends in 1 days?/,
  },
  'a setting of sessions that only superusers change': {
    code: 'SESSION_SETTING',
    names: 'session_replication_role',
    plant: 'ALTER ROLE LOGIN IN DATABASE DATABASE SET session_replication_role = replica',
    says: /session_replication_role/,
  },
  'the slot is gone': {
    code: 'SLOT_LOST',
    names: 'slot SLOT',
    plant: `SELECT pg_drop_replication_slot('SLOT')`,
    says: /makes the slot again/,
    mend: restart,
  },
  'the slot was made anew': {
    code: 'SLOT_REPLACED',
    names: 'slot SLOT',
    plant: `SELECT pg_drop_replication_slot('SLOT'); SELECT pg_logical_emit_message(false, 'x', 'y', true);
            SELECT pg_create_logical_replication_slot('SLOT', 'pgoutput')`,
    says: /makes the slot again/,
    mend: restart,
  },
  'the slot is lost, and walpost may not heal': {
    code: 'SLOT_LOST',
    names: 'slot SLOT',
    plant: `SELECT pg_drop_replication_slot('SLOT')`,
    says: /--set source\.on_slot_lost=heal/,
    options: { source: { on_slot_lost: 'stop' } },
    mend: restart,
  },
  'another program streams from the slot': {
    code: 'SLOT_IN_USE',
    names: 'slot SLOT',
    plant: async ({ installation, slot }) => {
      const { config } = replicationConfig({ url: installation.database.url });
      const thief = newClient(Object.assign(config, { application_name: 'pg_recvlogical' }));
      await thief.connect();
      const options = `proto_version '1', publication_names 'walpost'`;
      void thief.query(`START_REPLICATION SLOT ${slot} LOGICAL 0/0 (${options})`).catch(() => undefined);
      await poll('it streams', async () => {
        const [row] = await installation.database.query('SELECT FROM pg_replication_slots WHERE active');
        return row;
      });
    },
    says: /"pg_recvlogical"/,
  },
  'another name for the slot': {
    code: 'SLOT_CHANGED',
    names: 'has "SLOT"',
    plant: 'SELECT',
    says: /takes_over/,
    options: ({ slot }) => ({ source: { slot: `${slot}_x`.slice(-60) } }),
    mend: async ({ slot, installation }, remedy) => {
      expect(remedy).toContain(`source.slot: ${slot}`);
      expect(codes(await installation.examine({ source: { slot } }))).toEqual(['SLOT_UNREAD']);
    },
    looks: true,
    alone: true,
  },
  'a stranger holds the lock of the leader': {
    code: 'LEADER_LOCK_TAKEN',
    names: 'server process PID',
    plant: ({ session, slot }) => session.query('SELECT pg_advisory_lock($1)', [leaderLockKey(slot)]),
    says: /pg_terminate_backend/,
    mend: async ({ sql }, remedy) => sql(`SELECT pg_terminate_backend(${/\d+/.exec(remedy)?.[0] ?? ''}, 5000)`),
  },
  'a migration is missing': {
    code: 'MIGRATION_MISSING',
    names: 'prune',
    plant: `UPDATE walpost.repeatables SET checksum = 'another' WHERE name LIKE '%prune%'`,
    says: /walpost migrate/,
    mend: ({ installation }) => migrate(installation.database.url),
  },
  'a migration was changed': {
    code: 'MIGRATION_CHANGED',
    names: '003_',
    plant: `UPDATE walpost.migrations SET checksum = 'x' || checksum WHERE number = 3`,
    says: /Restore the file/,
    mend: ({ sql }) => sql('UPDATE walpost.migrations SET checksum = substr(checksum, 2) WHERE number = 3'),
  },
  'a newer release was here': {
    code: 'MIGRATION_NEWER',
    names: '900',
    plant: `INSERT INTO walpost.migrations (number, name, checksum, breaking) VALUES (900, '900_newer.sql', '', true)`,
    says: /newer walpost/,
    mend: ({ sql }) => sql('DELETE FROM walpost.migrations WHERE number = 900'),
  },
  'a table of walpost is gone': {
    code: 'SCHEMA_DAMAGED',
    names: 'walpost.retry_requests',
    plant: 'ALTER TABLE walpost.retry_requests RENAME TO was_retry_requests',
    says: /Rename them back/,
    mend: ({ sql }) => sql('ALTER TABLE walpost.was_retry_requests RENAME TO retry_requests'),
  },
  'something in the schema belongs to another role, and the owner looks': {
    code: 'SCHEMA_FOREIGN',
    names: 'walpost.lanes belongs to APP',
    plant: 'ALTER TABLE walpost.lanes OWNER TO APP',
    says: /walpost\.lanes belongs to app_/,
    options: ({ installation }) => ({ url: installation.database.url }),
    mend: ({ sql }, remedy) => sql(/ALTER TABLE walpost\.lanes OWNER TO \w+/.exec(remedy)?.[0] ?? ''),
    alone: true,
  },
  'a column of the outbox is gone': {
    code: 'SOURCE_TABLE',
    names: 'walpost.outbox has no column "target"',
    plant: 'ALTER TABLE walpost.outbox RENAME COLUMN target TO goal',
    says: /has no column "target"/,
    mend: ({ sql }) => sql('ALTER TABLE walpost.outbox RENAME COLUMN goal TO target'),
  },
  'a copy of a database': {
    code: 'COPIED_DATABASE',
    names: 'walpost.outbox',
    plant: `UPDATE walpost.installation SET system_identifier = '1'; UPDATE walpost.cursor SET system_identifier = '1'`,
    says: /source\.existing: skip/,
    mend: async ({ installation }) => {
      await using relay = await installation.relay({ existing: 'skip' });
      await relay.stop();
    },
    alone: true,
  },
  'rows of a topic leave before an endpoint is disabled': {
    code: 'TOPIC_RETENTION',
    names: 'topic short',
    plant: `INSERT INTO walpost.settings (name, topic, value) VALUES ('retention_hours', 'short', '24'), ('retention_hours', 'long', '9000')`,
    says: /topic short stay for 24 hours.* after 48 hours/,
    options: {
      config: { sinks: { out: { type: 'discard' }, customers: { type: 'webhook', endpoints: true } } },
    },
    mend: ({ sql }, remedy) => sql(/UPDATE [^;]+/.exec(remedy)?.[0] ?? ''),
    restore: `DELETE FROM walpost.settings WHERE name = 'retention_hours'`,
  },
  'the clocks differ': {
    code: 'CLOCK_DIFFERENCE',
    names: '60.',
    plant: 'SELECT',
    says: /60\.\d s ahead of the server/,
    options: { ahead: 60_000 },
    mend: async ({ installation }) => expect(codes(await installation.examine())).toEqual(['SLOT_UNREAD']),
    looks: true,
  },
  'the server keeps log without a limit': {
    code: 'SLOT_WAL_UNLIMITED',
    names: 'max_slot_wal_keep_size',
    plant: `ALTER SYSTEM SET max_slot_wal_keep_size = -1; ${RELOAD}`,
    says: /max_slot_wal_keep_size/,
    restore: `ALTER SYSTEM RESET max_slot_wal_keep_size; ${RELOAD}`,
  },
  'the server never gives up a walsender': {
    code: 'WAL_SENDER_TIMEOUT',
    names: 'wal_sender_timeout',
    plant: `ALTER SYSTEM SET wal_sender_timeout = 0; ${RELOAD}`,
    says: /is off/,
    restore: `ALTER SYSTEM RESET wal_sender_timeout; ${RELOAD}`,
  },
  'the server gives up walsenders at once, for this role': {
    code: 'WAL_SENDER_TIMEOUT',
    names: 'wal_sender_timeout',
    plant: `ALTER ROLE LOGIN SET wal_sender_timeout = '2s'`,
    says: /ALTER ROLE .* SET wal_sender_timeout/,
  },
  'the server gives up walsenders at once, in this database': {
    code: 'WAL_SENDER_TIMEOUT',
    names: 'wal_sender_timeout',
    plant: `ALTER DATABASE DATABASE SET wal_sender_timeout = '2s'`,
    says: /ALTER DATABASE .* SET wal_sender_timeout/,
    alone: true,
  },
  'the slot is about to be lost': {
    code: 'SLOT_NEAR_LOSS',
    names: 'slot SLOT',
    plant: async ({ sql }) => {
      await sql(`ALTER SYSTEM SET max_slot_wal_keep_size = '64MB'; ${RELOAD}`);
      for (let turn = 0; turn < 4; turn += 1) await sql(`${WRITE}; SELECT pg_switch_wal()`);
    },
    says: /before it may be lost/,
    restore: `ALTER SYSTEM RESET max_slot_wal_keep_size; ${RELOAD}`,
  },
  'the slot keeps much log': {
    code: 'SLOT_KEEPS_WAL',
    names: 'slot SLOT',
    plant: `${WRITE}; SELECT pg_switch_wal(); ${WRITE}; SELECT pg_switch_wal()`,
    says: /MiB of log/,
    options: { limits: { retainedBytes: 16 * 1024 ** 2 } },
    mend: (on) => runUntil(on, 'SLOT_KEEPS_WAL', { limits: { retainedBytes: 16 * 1024 ** 2 } }),
  },
  'nobody reads the slot': {
    code: 'SLOT_UNREAD',
    names: 'slot SLOT',
    plant: 'SELECT',
    says: /walpost run/,
    mend: async ({ installation }) => {
      await using relay = await installation.relay();
      expect((await installation.examine()).findings).toEqual([]);
      await relay.stop();
    },
    looks: true,
  },
  'the slot does not go to the standby': {
    code: 'SLOT_NO_FAILOVER',
    names: 'slot SLOT',
    plant: async (on) => {
      await on.sql(`SELECT pg_create_physical_replication_slot('standby_1')`);
      await replicate(on, `ALTER_REPLICATION_SLOT ${on.slot} (FAILOVER false)`);
    },
    says: /ALTER_REPLICATION_SLOT/,
    mend: (on, remedy) => replicate(on, /ALTER_REPLICATION_SLOT [^;]*/.exec(remedy)?.[0] ?? ''),
    restore: `SELECT pg_drop_replication_slot('standby_1')`,
    alone: true,
  },
  'deliveries may be ahead of the standby': {
    code: 'FAILOVER_UNGUARDED',
    names: 'slot SLOT',
    plant: `SELECT pg_create_physical_replication_slot('standby_1')`,
    says: /synchronized_standby_slots = 'standby_1'/,
    restore: `ALTER SYSTEM RESET synchronized_standby_slots; ${RELOAD}; SELECT pg_drop_replication_slot('standby_1')`,
    options: {}, // then the standby is missed, which is none here
  },
  'a standby that deliveries wait for is away': {
    code: 'FAILOVER_STANDBY_AWAY',
    names: 'slot standby_1',
    plant: `SELECT pg_create_physical_replication_slot('standby_1'); ALTER SYSTEM SET synchronized_standby_slots = 'standby_1'; ${RELOAD}`,
    says: /names slot standby_1, and no standby reads from it.+synchronized_standby_slots = ''/,
    restore: `ALTER SYSTEM RESET synchronized_standby_slots; ${RELOAD}; SELECT pg_drop_replication_slot('standby_1')`,
    options: {},
  },
};

/** A relay runs until the fault is gone. */
async function runUntil({ installation, sql }: Planted, code: string, options: ExamineOptions = {}): Promise<void> {
  await using relay = await installation.relay();
  await vi.waitFor(
    async () => {
      await sql('SELECT pg_log_standby_snapshot()');
      expect(codes(await installation.examine(options))).not.toContain(code);
    },
    { timeout: 60_000, interval: 500 },
  );
  await relay.stop();
}

/** A command of the replication protocol. */
async function replicate({ installation }: Planted, command: string): Promise<void> {
  const { config } = replicationConfig({ url: installation.database.url });
  const client = newClient(config);
  await client.connect();
  try {
    await client.query(command);
  } finally {
    await client.end();
  }
}

/** Most faults leave nothing behind when they are mended. */
let shared: Installation;
beforeAll(async () => {
  shared = await Installation.open({ server: server.url() });
});
afterAll(() => shared[Symbol.asyncDispose]());

test('before it, nothing is found but that the relay does not run', async () => {
  expect(codes(await shared.examine())).toEqual(['SLOT_UNREAD']);
});

describe('a fault is found, and following its remedy it is gone', () => {
  test.each(Object.entries(FAULTS))('%s', async (_name, fault) => {
    if (!fault.alone) return plantAndMend(fault, shared);
    await using installation = await Installation.open({ server: server.url() });
    await plantAndMend(fault, installation);
  });

  test('there are at least thirty of them', () => expect(Object.keys(FAULTS).length).toBeGreaterThan(30));
});

async function plantAndMend(fault: Fault, installation: Installation): Promise<void> {
  const { database } = installation;
  const app = `app_${randomBytes(6).toString('hex')}`;
  await database.query(`CREATE ROLE ${app} LOGIN`);
  const on = await planted(installation, app);
  const options = typeof fault.options === 'function' ? fault.options(on) : (fault.options ?? {});
  try {
    await (typeof fault.plant === 'string' ? on.sql(fault.plant) : fault.plant(on));
    const { findings } = await installation.examine(options);
    const found = findings.find(({ code }) => code === fault.code);
    if (!found) throw new Error(`${fault.code} is not among ${codes({ findings }).join()}`);
    expect(`${found.what} ${found.remedy}`).toMatch(fault.says);
    expect(`${found.subject}: ${found.what}`).toContain(await on.named(fault.names));
    for (const text of [found.subject, found.what, found.why, found.remedy]) expect(text).toBeTruthy();
    await (fault.mend?.(on, found.remedy) ?? installation.mend(found.remedy));
    if (fault.looks) return;
    const isWhole = !fault.alone && fault.options === undefined;
    const look = async (): Promise<string[]> => codes(await installation.examine(options));
    const gone = async (): Promise<void> =>
      isWhole ? expect(await look()).toEqual(['SLOT_UNREAD']) : expect(await look()).not.toContain(fault.code);
    await vi.waitFor(gone, { timeout: 10_000, interval: 100 });
  } finally {
    if (fault.restore !== undefined) await on.sql(fault.restore);
    await on.session.end().catch(() => undefined);
    await database.query(`DROP OWNED BY ${app}; DROP ROLE ${app}`);
  }
}

async function planted(installation: Installation, app: string): Promise<Planted> {
  const { database, login } = installation;
  const [row] = await database.query<{ slot: string }>('SELECT slot FROM walpost.cursor');
  const slot = row?.slot ?? '';
  const filled = (text: string): string =>
    text
      .replaceAll(/\bDATABASE DATABASE\b/g, `DATABASE ${database.name}`)
      .replaceAll(/\bLOGIN\b/g, login.name)
      .replaceAll(/\bAPP\b/g, app)
      .replaceAll(/\bSLOT\b/g, slot);
  const sql = async (text: string): Promise<void> => {
    for (const statement of filled(text).split(/;\s+/)) await database.query(statement);
  };
  const session = await database.client();
  const named = async (text: string): Promise<string> => {
    if (!/\bPID\b/.test(text)) return filled(text).replace(/\bNAME\b/, database.name);
    const { rows } = await session.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    return text.replace(/\bPID\b/, String(rows[0]?.pid));
  };
  return { installation, app, slot, session, sql, named };
}

const codes = ({ findings }: { findings: readonly { code: string }[] }): string[] => findings.map(({ code }) => code);
