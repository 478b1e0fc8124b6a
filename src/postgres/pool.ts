import pg from 'pg';
import { beginSession, sessionConfig, withConnection } from './session.ts';

export interface PoolOptions {
  /** Shown in pg_stat_activity. */
  readonly applicationName: string;
  readonly max: number;
  /** How long a statement may take when the server does not even answer that it was too slow. */
  readonly queryTimeoutMs?: number;
  /** An idle connection ended. The pool makes another when it needs one. */
  readonly onError?: (error: Error) => void;
  /** The server sent an error to a connection of the pool, whether it was opening, in use or idle. */
  readonly onServerError?: (error: Error) => void;
}

/** For commands, as their `queryTimeoutMs`: more than the statement_timeout below, so only a server that is silent reaches it. */
export const SILENCE_MS = 65_000;

const CONNECT_TIMEOUT_MS = 10_000;
/** The client gives up before the pool does, because its error says where it went. */
const POOL_MARGIN_MS = 500;

/** No statement of walpost takes this long; one that does is stuck. */
const SETTINGS = { statement_timeout: '1min', idle_in_transaction_session_timeout: '1min' };

/** The pool waits for this, and rejects the request for the connection with its error. The pool's types do not say so. */
const begin = (client: pg.ClientBase): unknown => beginSession(client, SETTINGS);

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
  const connections = new Set<pg.Client>();
  const pool = new pg.Pool({
    ...sessionConfig({ url, applicationName: options.applicationName, settings: SETTINGS }),
    max: options.max,
    types: textTypes,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS + POOL_MARGIN_MS,
    ...(options.queryTimeoutMs !== undefined && { query_timeout: options.queryTimeoutMs }),
    idleTimeoutMillis: 30_000,
    keepAlive: true,
    allowExitOnIdle: false,
    onConnect: begin,
    Client: watchedClient(url, connections, options.onServerError),
  });
  pool.on('error', (error) => options.onError?.(error));
  connectionsOf.set(pool, connections);
  return pool;
}

const connectionsOf = new WeakMap<pg.Pool, ReadonlySet<pg.Client>>();

/** Closes the sockets of a pool whose server may never answer again, so that queries and connects in progress fail now. */
export function cutPool(pool: pg.Pool): void {
  for (const client of connectionsOf.get(pool) ?? []) client.connection.stream.destroy();
}

/** What the driver hides, such as the password, is handed on as it is. */
function withTimeout(config: pg.ClientConfig): pg.ClientConfig {
  const timeout = { value: CONNECT_TIMEOUT_MS, enumerable: true };
  return Object.defineProperties({}, { ...Object.getOwnPropertyDescriptors(config), connectionTimeoutMillis: timeout });
}

/** pg reports a server error on a connection in use only to its query, and one on an opening connection only inside the pool. */
function watchedClient(
  url: string,
  connections: Set<pg.Client>,
  onServerError?: (error: Error) => void,
): typeof pg.Client {
  return class extends pg.Client {
    constructor(config?: string | pg.ClientConfig) {
      super(typeof config === 'object' ? withConnection(url, withTimeout(config)) : config);
      connections.add(this);
      this.once('end', () => connections.delete(this));
      if (onServerError) this.connection.on('errorMessage', onServerError);
    }
  };
}
