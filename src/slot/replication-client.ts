import type { EventEmitter } from 'node:events';
import net from 'node:net';
import type { Duplex } from 'node:stream';
import type { Client } from 'pg';
import type { ReplicationClientConfig } from 'pg-logical-replication';
import { sessionConfig, withConnection } from '../postgres/session.ts';

/** What pg_stat_replication shows, and what synchronous_standby_names would have to name. */
export const APPLICATION_NAME = 'walpost';

/** Also the longest wait for an answer where an answer takes no work. */
export const CONNECT_TIMEOUT_MS = 10_000;

export interface ReplicationClientOptions {
  readonly url: string;
  /** Settings for this session in place of those that are pinned. */
  readonly settings?: Readonly<Record<string, string>>;
}

/** How to reach the database with the replication protocol; the socket comes along, so that it can be cut at any time. */
export function replicationConfig(options: ReplicationClientOptions): {
  config: ReplicationClientConfig;
  socket: net.Socket;
} {
  const socket = new net.Socket();
  const config: ReplicationClientConfig = withConnection(options.url, {
    ...sessionConfig({ ...options, applicationName: APPLICATION_NAME }),
    connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
    keepAlive: true,
    replication: 'database',
    stream: () => socket,
  });
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
