import type pg from 'pg';
import { WalpostError } from '../errors.ts';
import { databaseError } from '../postgres/database-error.ts';
import { beginSession, placeOf, sessionClient } from '../postgres/session.ts';
import { APPLICATION_NAME, CONNECT_TIMEOUT_MS, processIdOf } from './replication-client.ts';
import { identifySystem, type SystemIdentity } from './replication-handshake.ts';
import { refuseSynchronousNames } from './synchronous-standby.ts';

export interface ServerCheckOptions {
  readonly url: string;
  /** A slot that does not exist yet needs a free place. */
  readonly slot?: string;
}

export interface ServerFacts {
  /** As server_version_num: 170010. */
  readonly version: number;
  readonly systemIdentifier: string;
  readonly timeline: number;
  readonly database: string;
  readonly role: string;
  readonly isPrimary: boolean;
  /** Host and port. */
  readonly place: string;
  /** Milliseconds; 0 is switched off. */
  readonly walSenderTimeoutMs: number;
}

interface SettingsRow {
  version: number;
  wal_level: string;
  wal_sender_timeout: number;
  synchronous_standby_names: string;
  max_replication_slots: number;
  max_wal_senders: number;
  other_slots: number;
  in_recovery: boolean;
  database: string;
  role: string;
  pid: number;
}

const SETTINGS = `
  SELECT current_setting('server_version_num')::int AS version, current_setting('wal_level') AS wal_level,
         (SELECT setting::int FROM pg_settings WHERE name = 'wal_sender_timeout') AS wal_sender_timeout,
         current_setting('synchronous_standby_names') AS synchronous_standby_names,
         current_setting('max_replication_slots')::int AS max_replication_slots,
         current_setting('max_wal_senders')::int AS max_wal_senders,
         (SELECT count(*)::int FROM pg_replication_slots WHERE slot_name IS DISTINCT FROM $1) AS other_slots,
         pg_is_in_recovery() AS in_recovery, current_database()::text AS database, session_user::text AS role,
         pg_backend_pid() AS pid`;

const OLDEST_VERSION = 150_000;

/**
 * Checks that this server, over this connection string, can be streamed from, and brings back what is known of it.
 *
 * It opens what the relay will open, two ordinary connections and one for replication, because that is the only proof:
 * the role's attributes do not tell on managed servers, and a pooler looks like a server until it is asked to replicate.
 */
export async function checkServer(options: ServerCheckOptions): Promise<ServerFacts> {
  await using sessions = await openSessions(options);
  for (const check of checksOf(sessions)) await check();
  const { settings } = sessions;
  return {
    version: settings.version,
    ...(await identify(sessions, options)),
    database: settings.database,
    role: settings.role,
    isPrimary: !settings.in_recovery,
    place: placeOf(sessions.first),
    walSenderTimeoutMs: settings.wal_sender_timeout,
  };
}

/** The same checks, for a person who mends the server: each one is made, whatever the others say. */
export async function serverProblems(options: ServerCheckOptions): Promise<unknown[]> {
  await using sessions = await openSessions(options);
  const problems: unknown[] = [];
  for (const check of [...checksOf(sessions), () => identify(sessions, options)]) {
    try {
      await check();
    } catch (error) {
      problems.push(error);
    }
  }
  return problems;
}

interface Sessions extends AsyncDisposable {
  readonly first: pg.Client;
  readonly second: pg.Client;
  readonly settings: SettingsRow;
}

async function openSessions({ url, slot }: ServerCheckOptions): Promise<Sessions> {
  const first = await openSession(url);
  try {
    const settings = await readSettings(first.client, slot);
    const second = await openSession(url);
    const end = (): Promise<unknown> => Promise.all([first, second].map((each) => each[Symbol.asyncDispose]()));
    return {
      first: first.client,
      second: second.client,
      settings,
      [Symbol.asyncDispose]: async () => void (await end()),
    };
  } catch (error) {
    await first[Symbol.asyncDispose]();
    throw error;
  }
}

function checksOf({ first, second, settings }: Sessions): (() => unknown)[] {
  return [
    () => refuseSharedBackend(first, second),
    () => beginSession(first),
    ...SETTING_CHECKS.map((check) => () => check(settings)),
  ];
}

function identify({ first, settings }: Sessions, { url }: ServerCheckOptions): Promise<SystemIdentity> {
  // A server announces the process id that the session really has; a pooler, and some providers' proxies, make one up.
  const throughProxy = processIdOf(first) !== settings.pid;
  return identifySystem({ url, role: settings.role, throughProxy });
}

interface Session extends AsyncDisposable {
  readonly client: pg.Client;
}

async function openSession(url: string): Promise<Session> {
  const session = { url, applicationName: APPLICATION_NAME };
  const limits = { connectionTimeoutMillis: CONNECT_TIMEOUT_MS, query_timeout: CONNECT_TIMEOUT_MS };
  const client = sessionClient(session, limits);
  client.on('error', () => {}); // the query that is running rejects with it
  try {
    await client.connect();
  } catch (error) {
    const known = databaseError(error);
    if (!(known instanceof WalpostError) || known.code !== 'CONNECTION_LOST') throw known;
    const place = client.host.startsWith('/')
      ? `${client.host}/.s.PGSQL.${client.port}`
      : `${client.host}:${client.port}`;
    throw new WalpostError('SERVER_UNREACHABLE', { detail: `At ${place}: ${reason(error)}.`, cause: error });
  }
  return { client, [Symbol.asyncDispose]: () => client.end() };
}

async function readSettings(client: pg.Client, slot: string | undefined): Promise<SettingsRow> {
  const { rows } = await client.query<SettingsRow>(SETTINGS, [slot ?? null]).catch((error: unknown) => {
    throw databaseError(error);
  });
  if (!rows[0]) throw new WalpostError('PROTOCOL', { detail: 'A query for one row gave none.' });
  return rows[0];
}

/** Takes server_version_num. */
export function refuseOldServer(version: number): void {
  if (version >= OLDEST_VERSION) return;
  throw new WalpostError('SERVER_VERSION', { detail: `It is ${Math.floor(version / 10_000)}.` });
}

const SETTING_CHECKS: readonly ((settings: SettingsRow) => void)[] = [
  ({ version }) => refuseOldServer(version),
  ({ wal_level: level }) => {
    if (level !== 'logical') throw new WalpostError('WAL_LEVEL', { detail: `Its wal_level is ${level}.` });
  },
  ({ max_wal_senders: senders }) => {
    if (senders === 0) throw new WalpostError('TOO_MANY_SLOTS', { detail: 'max_wal_senders is 0.' });
  },
  ({ other_slots: others, max_replication_slots: places }) => {
    if (others < places) return;
    throw new WalpostError('TOO_MANY_SLOTS', {
      detail: `There are ${others} slots, and max_replication_slots is ${places}.`,
    });
  },
  (settings) => refuseSynchronousNames(settings.synchronous_standby_names),
];

/** Two open connections in one backend: a pooler lends it out for each transaction, and locks would be lost. */
async function refuseSharedBackend(first: pg.Client, second: pg.Client): Promise<void> {
  const pids: number[] = [];
  for (const client of [first, second]) {
    const { rows } = await client
      .query<{ pid: number }>('SELECT pg_backend_pid() AS pid')
      .catch((error: unknown) => Promise.reject(databaseError(error)));
    pids.push(rows[0]?.pid ?? 0);
  }
  if (pids[0] !== pids[1]) return;
  throw new WalpostError('POOLER', {
    detail: `At ${placeOf(first)}: two connections at a time share one backend of the server.`,
  });
}

function reason(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reason).join(', ');
  return error instanceof Error ? error.message.replace(/\.$/, '') : String(error);
}
