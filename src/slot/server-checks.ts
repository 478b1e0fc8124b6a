import pg from 'pg';
import { parseIntoClientConfig } from 'pg-connection-string';
import { WalpostError } from '../errors.ts';
import { databaseError } from '../postgres/database-error.ts';
import { quoteIdentifier } from '../postgres/identifiers.ts';
import { SQLSTATE, sqlStateOf } from '../postgres/sqlstate.ts';
import { APPLICATION_NAME, processIdOf, replicationConfig } from './replication-client.ts';
import { replicationError, serverWords } from './replication-error.ts';
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
  /** Milliseconds; 0 is switched off. */
  readonly walSenderTimeoutMs: number;
}

interface SettingsRow {
  version: number;
  wal_level: string;
  wal_sender_timeout: number;
  synchronous_standby_names: string;
  max_replication_slots: number;
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
         (SELECT count(*)::int FROM pg_replication_slots WHERE slot_name IS DISTINCT FROM $1) AS other_slots,
         pg_is_in_recovery() AS in_recovery, current_database()::text AS database, session_user::text AS role,
         pg_backend_pid() AS pid`;

const OLDEST_VERSION = 150_000;
const CONNECT_TIMEOUT_MS = 10_000;

/** Messages that no server has, but that poolers give to a replication connection or to one of its commands. */
const PROTOCOL_VIOLATION = '08P01';
const SYNTAX_ERROR = '42601';

/**
 * Checks that this server, over this connection string, can be streamed from, and brings back what is known of it.
 *
 * It opens what the relay will open, two ordinary connections and one for replication, because that is the only proof:
 * the role's attributes do not tell on managed servers, and a pooler looks like a server until it is asked to replicate.
 */
export async function checkServer(options: ServerCheckOptions): Promise<ServerFacts> {
  await using first = await openSession(options.url);
  const settings = await readSettings(first.client, options.slot);
  await using second = await openSession(options.url);
  await refuseSharedBackend(first.client, second.client);
  checkSettings(settings);
  const system = await identifySystem(options.url, settings, processIdOf(first.client));
  return {
    version: settings.version,
    ...system,
    database: settings.database,
    role: settings.role,
    isPrimary: !settings.in_recovery,
    walSenderTimeoutMs: settings.wal_sender_timeout,
  };
}

interface Session extends AsyncDisposable {
  readonly client: pg.Client;
}

async function openSession(url: string): Promise<Session> {
  const config = parseIntoClientConfig(url);
  const client = new pg.Client({
    ...config,
    application_name: APPLICATION_NAME,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
  });
  client.on('error', () => {}); // the query that is running rejects with it
  try {
    await client.connect();
  } catch (error) {
    const known = databaseError(error);
    if (!(known instanceof WalpostError) || known.code !== 'CONNECTION_LOST') throw known;
    const place = `${client.host}:${client.port}`;
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

function checkSettings(settings: SettingsRow): void {
  if (settings.version < OLDEST_VERSION) {
    throw new WalpostError('SERVER_VERSION', { detail: `It is ${Math.floor(settings.version / 10_000)}.` });
  }
  if (settings.wal_level !== 'logical') {
    throw new WalpostError('WAL_LEVEL', { detail: `Its wal_level is ${settings.wal_level}.` });
  }
  if (settings.other_slots >= settings.max_replication_slots) {
    throw new WalpostError('TOO_MANY_SLOTS', {
      detail: `There are ${settings.other_slots} slots, and max_replication_slots is ${settings.max_replication_slots}.`,
    });
  }
  refuseSynchronousNames(settings.synchronous_standby_names);
}

/** Two open connections in one backend: a pooler lends it out for each transaction, and locks would be lost. */
async function refuseSharedBackend(first: pg.Client, second: pg.Client): Promise<void> {
  const pids: number[] = [];
  for (const client of [first, second]) {
    const { rows } = await client.query<{ pid: number }>('SELECT pg_backend_pid() AS pid');
    pids.push(rows[0]?.pid ?? 0);
  }
  if (pids[0] !== pids[1]) return;
  throw new WalpostError('POOLER', { detail: 'Two connections at a time share one backend of the server.' });
}

async function identifySystem(
  url: string,
  settings: SettingsRow,
  announcedPid: number,
): Promise<{ systemIdentifier: string; timeline: number }> {
  const { config } = replicationConfig({ url });
  const client = new pg.Client(config);
  client.on('error', () => {}); // the query that is running rejects with it
  try {
    await client.connect();
    const { rows } = await client.query<{ systemid: string; timeline: number }>('IDENTIFY_SYSTEM');
    const system = rows[0];
    if (!system) throw new WalpostError('PROTOCOL', { detail: 'IDENTIFY_SYSTEM gave no row.' });
    return { systemIdentifier: system.systemid, timeline: Number(system.timeline) };
  } catch (error) {
    throw explainRefusal(error, settings, announcedPid);
  } finally {
    await client.end().catch(() => {});
  }
}

/** The ordinary connection works, the one for replication does not: whose doing is it? */
function explainRefusal(error: unknown, settings: SettingsRow, announcedPid: number): Error {
  const state = sqlStateOf(error);
  if (state === SQLSTATE.insufficientPrivilege) {
    return new WalpostError('NO_REPLICATION_ROLE', {
      detail: `It is "${settings.role}".`,
      remedy:
        `ALTER ROLE ${quoteIdentifier(settings.role)} REPLICATION; ` +
        `(on managed Postgres, grant the provider's replication role).`,
      cause: error,
    });
  }
  const isPoolersAnswer = state === PROTOCOL_VIOLATION || state === SYNTAX_ERROR;
  // A server announces the process id that the session really has; a pooler makes one up.
  const isPoolersSession = announcedPid !== settings.pid;
  const known = replicationError(error);
  const isExplained = known instanceof WalpostError && !['CONNECTION_LOST', 'DATABASE'].includes(known.code);
  if (isPoolersAnswer || (isPoolersSession && !isExplained)) {
    return new WalpostError('POOLER', { detail: serverWords(error), cause: error });
  }
  return known;
}

function reason(error: unknown): string {
  if (error instanceof AggregateError) return error.errors.map(reason).join(', ');
  return error instanceof Error ? error.message.replace(/\.$/, '') : String(error);
}
