/**
 * The driver's connection, with TLS and channel binding as libpq means them (tls.ts, channel-binding.ts), and without three habits of the driver: after an error it
 * leaves the socket open until the server gives up, it reads certificates once and for all, and it cannot go on without
 * TLS where the connection string allows that.
 */
import type { Duplex } from 'node:stream';
import pg from 'pg';
import { ChannelBindingDemand } from './channel-binding.ts';
import { mayBePlain, type TlsWish, tlsOptions } from './tls.ts';

export interface DriverConnectionOptions {
  readonly tls: TlsWish | undefined;
  /** End the connection before a password leaves, unless the server binds its proof to the TLS connection. */
  readonly demandsBinding: boolean;
  readonly config: Pick<pg.ClientConfig, 'stream' | 'keepAlive' | 'keepAliveInitialDelayMillis'>;
}

/** What the type declarations of the driver leave out. */
interface DriverParts extends pg.Connection {
  readonly stream: Duplex;
  readonly _ending: boolean;
  ssl: unknown;
  connect(port: number | string, host?: string): void;
  attachListeners(stream: Duplex): void;
  upgradeToSSL(host: string, onError: (error: Error) => void): void;
}
const Driver = pg.Connection as unknown as new (config: object) => DriverParts;

export class DatabaseConnection extends Driver {
  private readonly tls: TlsWish | undefined;
  private readonly binding: ChannelBindingDemand | undefined;
  private readonly isDirect: boolean;
  private host = '';
  private place = '';
  private isReady = false;
  private isSecure = false;

  constructor({ tls, demandsBinding, config }: DriverConnectionOptions) {
    const isDirect = tls?.parameters.get('sslnegotiation') === 'direct';
    super({ ...config, ssl: false, sslNegotiation: isDirect ? 'direct' : 'postgres' });
    this.tls = tls;
    this.binding = demandsBinding ? new ChannelBindingDemand() : undefined;
    this.isDirect = isDirect;
    this.once('readyForQuery', () => (this.isReady = true));
    this.on('error', (error: Error) => {
      if (!this.isReady) NOT_REACHED.set(error, this.place);
      this.stream.destroy();
    });
    this.on('errorMessage', (error: Error) => {
      if (!this.isReady) NOT_REACHED.set(error, this.place);
      if (!this.isSecure) UNENCRYPTED.add(error);
    });
  }

  override connect(port: number | string, host?: string): void {
    this.host = host ?? '';
    this.place = host === undefined ? String(port) : `${host}:${port}`;
    super.connect(port, host);
  }

  /** What must not be answered does not reach the client, which would answer it with the password. */
  override emit(event: string | symbol, ...rest: unknown[]): boolean {
    const refusal = this.binding?.refusalOf(event, rest[0], this.isSecure);
    return refusal === undefined ? super.emit(event, ...rest) : super.emit('error', refusal);
  }

  /** The driver calls this for the plain socket, and again for the one with TLS. */
  override attachListeners(stream: Duplex): void {
    if (this.tls === undefined || this.isSecure) return super.attachListeners(stream);
    if (this.isDirect) return void stream.once('connect', () => this.secure());
    stream.once('data', (answer: Buffer) => this.negotiated(answer.toString('latin1'), stream));
  }

  /** One byte. More would be text that somebody put in front of the encrypted part. */
  private negotiated(answer: string, stream: Duplex): void {
    if (answer === 'S') return this.secure();
    if (answer !== 'N') return void this.emit('error', new TlsNegotiationError('not Postgres'));
    if (this.tls && !mayBePlain(this.tls)) return void this.emit('error', new TlsNegotiationError('not offered'));
    super.attachListeners(stream);
    this.emit('sslconnect'); // the client sends its first packet now
  }

  private secure(): void {
    if (this.tls === undefined) return;
    this.isSecure = true;
    try {
      this.ssl = tlsOptions(this.tls);
    } catch (error) {
      return void this.emit('error', error);
    }
    this.upgradeToSSL(this.host, (error) => {
      const isGoodbye = this._ending && 'code' in error && (error.code === 'ECONNRESET' || error.code === 'EPIPE');
      if (!isGoodbye) this.emit('error', error);
    });
  }
}

/** The server's answer to the request for TLS; tls-error.ts has the sentence. */
export class TlsNegotiationError extends Error {
  override readonly name = 'TlsNegotiationError';
  readonly answer: 'not offered' | 'not Postgres';

  constructor(answer: TlsNegotiationError['answer']) {
    super(`the server's answer to the request for TLS: ${answer}`);
    this.answer = answer;
  }
}

const NOT_REACHED = new WeakMap<object, string>();

/** Where a connection was to go that ended with this error before it was ready; undefined for any other error. */
export function placeNotReached(error: object): string | undefined {
  return NOT_REACHED.get(error);
}

const UNENCRYPTED = new WeakSet<object>();

/** Whether the server sent this error over a connection without TLS. */
export function cameUnencrypted(error: object): boolean {
  return UNENCRYPTED.has(error);
}
