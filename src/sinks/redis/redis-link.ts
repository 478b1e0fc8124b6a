/**
 * One connection to Redis, or to each node of a cluster, that is made when it is needed.
 *
 * The client never connects again by itself, keeps no command for later and sends none twice. So a delivery either gets
 * its answer or fails now, and the router alone decides what is sent again, and in which order.
 */
import { Cluster, Redis } from 'ioredis';
import { certificatesOf } from '../../certificate-file.ts';
import { orAborted } from '../../or-aborted.ts';

export interface RedisLinkOptions {
  readonly url: string;
  readonly cluster?: readonly string[] | undefined;
  readonly ca?: string | undefined;
}

export type RedisClient = Redis | Cluster;

const CONNECT_TIMEOUT = 10_000;
/** A server that hangs does not close its side. */
const DISCONNECT_TIMEOUT = 200;
const DEFAULT_PORT = 6379;

/** The connection ended, and nothing says why. */
class RedisConnectionEndedError extends Error {
  readonly code = 'ECONNRESET';
}

export class RedisLink {
  readonly client: RedisClient;
  readonly isCluster: boolean;
  private connecting: Promise<void> | undefined;
  /** The former connection closes; it would take a new one along. */
  private ending: Promise<void> | undefined;
  private lastError: Error | undefined;

  constructor(options: RedisLinkOptions) {
    this.client = clientOf(options);
    this.isCluster = this.client instanceof Cluster;
    this.client.on('error', (error: Error) => (this.lastError = error));
    this.client.on('node error', (error: Error) => (this.lastError = error));
  }

  /** Runs work on a connection that is ready. Rejects as soon as the signal aborts, and cuts the connection then. */
  async use<T>(work: (client: RedisClient) => Promise<T>, signal: AbortSignal): Promise<T> {
    signal.throwIfAborted();
    try {
      await orAborted(this.ready(), signal);
      return await orAborted(work(this.client), signal);
    } catch (error) {
      // What waits for an answer that does not come must not be answered later, when it was sent again already.
      if (signal.aborted) this.drop();
      throw this.causeOf(error);
    }
  }

  /** The next use connects anew; a name may lead to another server by then. */
  drop(): void {
    if (/^(wait|end)$/.test(this.client.status) || this.ending) return;
    this.ending = new Promise<void>((resolve) => this.client.once('end', () => resolve())).finally(
      () => (this.ending = undefined),
    );
    this.client.disconnect();
  }

  close(): Promise<void> {
    this.client.disconnect();
    return Promise.resolve();
  }

  private ready(): Promise<void> {
    // The client calls itself ready until the socket has closed.
    if (this.client.status === 'ready' && !this.ending) return Promise.resolve();
    this.connecting ??= this.connect().finally(() => (this.connecting = undefined));
    return this.connecting;
  }

  private async connect(): Promise<void> {
    this.lastError = undefined;
    this.drop();
    await this.ending;
    await this.client.connect();
  }

  /** The client says no more than "Connection is closed." where the event before it had the reason. */
  private causeOf(error: unknown): unknown {
    if (!(error instanceof Error)) return error;
    const told = deepest(error);
    if ('code' in told || told.name === 'ReplyError') return told;
    return /closed|isn't writeable|None of startup nodes/i.test(told.message)
      ? deepest(this.lastError ?? new RedisConnectionEndedError(told.message))
      : told;
  }
}

function deepest(error: Error): Error {
  const inner = (error as { lastNodeError?: unknown }).lastNodeError;
  return inner instanceof Error ? deepest(inner) : error;
}

function clientOf({ url: text, cluster, ca }: RedisLinkOptions): RedisClient {
  const url = new URL(text);
  const seed = { host: url.hostname.replace(/^\[(.*)\]$/, '$1'), port: Number(url.port) || DEFAULT_PORT };
  const secure = url.protocol === 'rediss:';
  const redisOptions = {
    ...(url.username !== '' && { username: decodeURIComponent(url.username) }),
    ...(url.password !== '' && { password: decodeURIComponent(url.password) }),
    ...(secure && { tls: { servername: seed.host, ...(ca !== undefined && { ca: certificatesOf(ca) }) } }),
    connectTimeout: CONNECT_TIMEOUT,
    disconnectTimeout: DISCONNECT_TIMEOUT,
    autoResendUnfulfilledCommands: false,
    maxRetriesPerRequest: null,
    connectionName: 'walpost',
  };
  if (!cluster) {
    const db = Number(url.pathname.slice(1)) || 0;
    return new Redis({
      ...redisOptions,
      ...seed,
      db,
      retryStrategy: () => null,
      enableOfflineQueue: false,
      lazyConnect: true,
    });
  }
  const further = cluster.map((node) => ({
    host: node.slice(0, node.lastIndexOf(':')),
    port: Number(node.slice(node.lastIndexOf(':') + 1)),
  }));
  return new Cluster([seed, ...further], {
    redisOptions,
    lazyConnect: true,
    enableOfflineQueue: false,
    clusterRetryStrategy: () => null,
  });
}
