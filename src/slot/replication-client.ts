import type { EventEmitter } from 'node:events';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import type { Client } from 'pg';
import { parseIntoClientConfig } from 'pg-connection-string';
import type { ReplicationClientConfig } from 'pg-logical-replication';

/** What pg_stat_replication shows, and what synchronous_standby_names would have to name. */
export const APPLICATION_NAME = 'walpost';

/**
 * The walsender prints values with the settings of its own session, which a database or a role may have changed
 * (`02/11/2026 19:30:00.1 IST`). In the startup packet they win over both. A timeout that suits the application's
 * statements must not end a stream either.
 */
const SESSION = {
  datestyle: 'ISO',
  timezone: 'UTC',
  intervalstyle: 'postgres',
  client_encoding: 'UTF8',
  extra_float_digits: '3',
  statement_timeout: '0',
  idle_session_timeout: '0',
  idle_in_transaction_session_timeout: '0',
};

/** Also the longest wait for an answer where an answer takes no work. */
export const CONNECT_TIMEOUT_MS = 10_000;

export interface ReplicationClientOptions {
  readonly url: string;
  /** Settings for this session beside the fixed ones. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** How to reach the database with the replication protocol; the socket comes along, so that it can be cut at any time. */
export function replicationConfig(options: ReplicationClientOptions): {
  config: ReplicationClientConfig;
  socket: net.Socket;
} {
  const socket = new net.Socket();
  const parsed = parseIntoClientConfig(options.url);
  const pinned = Object.entries({ ...SESSION, ...options.settings }).map(([name, value]) => `-c ${name}=${value}`);
  const config: ReplicationClientConfig = {
    ...parsed,
    options: [parsed.options, ...pinned].filter(Boolean).join(' '),
    application_name: APPLICATION_NAME,
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    replication: 'database',
    stream: () => socket,
  };
  return { config, socket };
}

/** The part of the driver's connection that streaming needs and its type declarations leave out. */
export interface ReplicationConnection extends EventEmitter {
  /** The socket, or the TLS layer over it. */
  readonly stream: Duplex;
  sendCopyFromChunk(chunk: Buffer): void;
  endCopyFrom(): void;
}

export function connectionOf(client: Client): ReplicationConnection {
  return client.connection as unknown as ReplicationConnection;
}

/** The backend's process id, as the server announced it when the session began. */
export function processIdOf(client: Client): number {
  return (client as unknown as { readonly processID: number }).processID;
}
