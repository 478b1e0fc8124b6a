import pg from 'pg';
import { parseIntoClientConfig } from 'pg-connection-string';
import { WalpostError } from '../errors.ts';

export interface PoolOptions {
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  readonly max: number;
  /** A connection of the pool ended while nobody used it; the pool makes another when it is asked. */
  readonly onError?: (error: Error) => void;
  /** The server sent an error to a connection of the pool, whether it was opening, in use or idle. */
  readonly onServerError?: (error: Error) => void;
}

const CONNECT_TIMEOUT_MS = 10_000;
const STATEMENT_TIMEOUT_MS = 60_000;

/**
 * Sessions print as the rest of the program expects, whatever the database, the role or the connection string set. The
 * driver would let a connection string win, also over the name by which the sessions of an older leader are known.
 */
const SESSION_OPTIONS = [
  'datestyle=ISO',
  'timezone=UTC',
  'intervalstyle=postgres',
  'extra_float_digits=1',
  'default_transaction_isolation=read\\ committed',
]
  .map((setting) => `-c ${setting}`)
  .join(' ');

const { BOOL, INT2, INT4, OID, FLOAT4, FLOAT8, TEXT } = pg.types.builtins;
const TEXT_ARRAY = 1009;
const PARSED: ReadonlySet<number> = new Set([BOOL, INT2, INT4, OID, FLOAT4, FLOAT8, TEXT, TEXT_ARRAY]);
const asText = (value: string): string => value;

/**
 * Values arrive as Postgres prints them, but for booleans, small numbers and text arrays: a bigint, an LSN, a jsonb or a
 * timestamp with microseconds would lose digits on the way through JavaScript's own types.
 */
export const textTypes = {
  getTypeParser: ((oid: number) =>
    PARSED.has(oid) ? pg.types.getTypeParser(oid) : asText) as typeof pg.types.getTypeParser,
};

export function createPool(url: string, options: PoolOptions): pg.Pool {
  const parsed = parseConnectionString(url);
  const connections = new Set<pg.Client>();
  const pool = new pg.Pool({
    ...parsed,
    application_name: options.applicationName,
    max: options.max,
    options: [parsed.options, SESSION_OPTIONS].filter(Boolean).join(' '),
    types: textTypes,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    statement_timeout: STATEMENT_TIMEOUT_MS,
    idle_in_transaction_session_timeout: STATEMENT_TIMEOUT_MS,
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    allowExitOnIdle: false,
    Client: watchedClient(connections, options.onServerError),
  });
  pool.on('error', (error) => options.onError?.(error));
  connectionsOf.set(pool, connections);
  return pool;
}

const connectionsOf = new WeakMap<pg.Pool, ReadonlySet<pg.Client>>();

/** Closes the sockets of a pool whose server may never answer again: whoever waits for it hears so now. */
export function cutPool(pool: pg.Pool): void {
  for (const client of connectionsOf.get(pool) ?? []) client.connection.stream.destroy();
}

/** A connection in use gives the server's errors to its query alone, and one that is opening is the pool's secret. */
function watchedClient(connections: Set<pg.Client>, onServerError?: (error: Error) => void): typeof pg.Client {
  return class extends pg.Client {
    constructor(config?: string | pg.ClientConfig) {
      super(config);
      connections.add(this);
      this.once('end', () => connections.delete(this));
      if (onServerError) this.connection.on('errorMessage', onServerError);
    }
  };
}

/** The parser's error carries the whole string with the password. */
function parseConnectionString(url: string): pg.ClientConfig {
  try {
    return parseIntoClientConfig(url);
  } catch {
    throw new WalpostError('CONFIG_INVALID', { detail: 'database.url is not a connection string.' });
  }
}
