/**
 * How every session of walpost begins, so that no setting of the role, the database, the server or the connection string
 * changes what it reads or how long it may take (judged-settings.ts).
 *
 * The settings travel in the startup packet, where they win over all others. What cannot travel there, because older
 * servers do not know it, follows in the first statement, which also looks whether the rest arrived: some poolers drop it.
 */
import pg from 'pg';
import { environmentProblems } from '../connection-environment.ts';
import { connectionParts, connectionStringProblem, type ConnectionParts } from '../connection-string.ts';
import { WalpostError } from '../errors.ts';
import { databaseError } from './database-error.ts';
import { DatabaseConnection } from './driver-connection.ts';
import { quoteIdentifier } from './identifiers.ts';
import { PINNED, PINNED_IF_KNOWN, WATCHED } from './judged-settings.ts';
import { passwordSource } from './password.ts';
import { tlsWish } from './tls.ts';

export interface SessionOptions {
  readonly url: string;
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  /** In place of what is pinned. */
  readonly settings?: Readonly<Record<string, string>>;
}

/**
 * What the driver needs to connect, but for the connection itself, which serves once (`withConnection`). `options` of the
 * connection string stay, before ours, which win; a role that it names stays. No other parameter can change the session.
 */
export function sessionConfig({ url, applicationName, settings }: SessionOptions): pg.ClientConfig {
  const { parameters, ...parts } = parseConnectionString(url);
  const options = parameters.get('options');
  const pinned = Object.entries({ ...PINNED, ...settings })
    .filter(([name]) => name !== 'role' || !namesRole(options))
    .map(([name, value]) => `-c ${name}=${value.replace(/[\\\s]/g, '\\$&')}`);
  return {
    ...given(parts),
    password: parts.password ?? passwordSource(parameters.get('passfile')),
    options: [options, ...pinned].filter(Boolean).join(' '),
    application_name: applicationName,
  };
}

/** Adds the connection for one client. The driver hides the password from what it copies, so it is handed on as it is. */
export function withConnection<C extends pg.ClientConfig>(url: string, config: C): C {
  const { parameters, host } = parseConnectionString(url);
  const tls = tlsWish(parameters, host);
  const { stream, keepAlive, keepAliveInitialDelayMillis } = config;
  const demandsBinding = parameters.get('channel_binding') === 'require';
  const connection = new DatabaseConnection({
    tls,
    demandsBinding,
    config: given({ stream, keepAlive, keepAliveInitialDelayMillis }),
  });
  const sslnegotiation = parameters.get('sslnegotiation');
  const more = {
    ssl: tls !== undefined,
    ...(sslnegotiation !== undefined && { sslnegotiation }),
    enableChannelBinding: demandsBinding,
    connection,
  };
  return Object.defineProperties({ ...more }, Object.getOwnPropertyDescriptors(config)) as typeof more & C;
}

/** A client whose session begins with `connectSession`. */
export function sessionClient(session: SessionOptions, more: pg.ClientConfig = {}): pg.Client {
  return new pg.Client(withConnection(session.url, { ...sessionConfig(session), ...more }));
}

type Given<T> = { [K in keyof T]?: Exclude<T[K], undefined> };

function given<T extends object>(parts: T): Given<T> {
  return Object.fromEntries(Object.entries(parts).filter(([, value]) => value !== undefined)) as Given<T>;
}

const namesRole = (options: string | undefined): boolean => /(?:^|\s)(?:-c\s*|--)role=/i.test(options ?? '');

/** The parts of database.url, where the environment does not contradict them; an error quotes nothing of either. */
function parseConnectionString(url: string): ConnectionParts {
  const problem = connectionStringProblem(url);
  if (problem !== undefined) throw new WalpostError('CONFIG_INVALID', { detail: `database.url ${problem}.` });
  const parts = connectionParts(url);
  const [contradiction] = environmentProblems(parts, process.env);
  if (contradiction === undefined) return parts;
  throw new WalpostError('CONFIG_INVALID', { detail: `${contradiction.variable} ${contradiction.message}.` });
}

const literal = (text: string): string => `'${text}'`;
const pairs = (settings: Readonly<Record<string, string>>): string =>
  Object.entries(settings)
    .map(([name, value]) => `(${literal(name)}, ${literal(value)})`)
    .join(', ');

/** Times are printed in other units, and a role may be asked for by the connection string: both are left out. */
const { role: _role, ...COMPARED } = PINNED;

const COMPLETE = `
  SELECT pg_catalog.set_config(known.name, known.value, false)
    FROM (VALUES ${pairs(PINNED_IF_KNOWN)}) AS known (name, value)
   WHERE pg_catalog.current_setting(known.name, true) IS NOT NULL;
  SELECT pg_catalog.set_config('synchronous_commit', 'on', false)
   WHERE pg_catalog.current_setting('synchronous_commit') = 'off'`;

const LOOK = `
  SELECT wanted.name, pg_catalog.current_setting(wanted.name, true) AS found, session_user::text AS role,
         pg_catalog.current_database()::text AS database
    FROM (VALUES ${pairs(COMPARED)}, ${pairs(mapFirst(WATCHED))}) AS wanted (name, value)
   WHERE pg_catalog.current_setting(wanted.name, true) IS DISTINCT FROM wanted.value`;

function mapFirst(settings: Readonly<Record<string, readonly string[]>>): Record<string, string> {
  return Object.fromEntries(Object.entries(settings).map(([name, [value = '']]) => [name, value]));
}

interface Different {
  readonly name: string;
  readonly found: string | null;
  readonly role: string;
  readonly database: string;
}

/**
 * The first statement of a session: sets what the server knows beyond the oldest version, and refuses a session that is
 * not as it was asked for. `settings` are those that sessionConfig was given.
 */
export async function beginSession(
  client: pg.ClientBase,
  settings: Readonly<Record<string, string>> = {},
): Promise<void> {
  const results = (await client.query(`${COMPLETE};${LOOK}`).catch((error: unknown) => {
    throw databaseError(error, 'beginning a session');
  })) as unknown as readonly pg.QueryResult<Different>[];
  const different = results.at(-1)?.rows.filter(({ name }) => !(name in settings)) ?? [];
  const refused = different.find(({ name, found }) => name in WATCHED && !accepts(name, found));
  if (refused) throw settingRefused(refused);
  const dropped = different.find(({ name }) => !(name in WATCHED));
  if (!dropped) return;
  throw new WalpostError('POOLER', {
    detail: `At ${placeOf(client)}: it does not pass on the settings of a session: ${dropped.name} is "${dropped.found ?? ''}".`,
  });
}

/** As database.url names it; the client of a pool is one too. */
export function placeOf(client: pg.ClientBase): string {
  const { host, port } = client as pg.Client;
  return `${host}:${port}`;
}

function accepts(name: string, found: string | null): boolean {
  const accepted: readonly string[] = WATCHED[name as keyof typeof WATCHED];
  return found !== null && accepted.includes(found);
}

function settingRefused({ name, found, role, database }: Different): WalpostError {
  const [user, base] = [quoteIdentifier(role), quoteIdentifier(database)];
  return new WalpostError('SESSION_SETTING', {
    detail: `${name} is "${found ?? ''}" for role ${user} in database ${base}.`,
    remedy:
      `As a superuser: ALTER ROLE ${user} IN DATABASE ${base} SET ${name} = '${WATCHED[name as keyof typeof WATCHED][0]}';` +
      ' (and take it out of options in database.url).',
  });
}

/** For clients that were made with sessionClient, and the same settings. */
export async function connectSession(client: pg.Client, settings?: Readonly<Record<string, string>>): Promise<void> {
  await client.connect();
  await beginSession(client, settings);
}
