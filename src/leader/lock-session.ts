import net from 'node:net';
import type pg from 'pg';
import type { Clock } from '../clock.ts';
import { WalpostError } from '../errors.ts';
import { databaseError } from '../postgres/database-error.ts';
import { textTypes } from '../postgres/pool.ts';
import { connectSession, sessionClient } from '../postgres/session.ts';

/** What pg_stat_activity shows for the session that holds the lock. */
export const LEADER_APPLICATION_NAME = 'walpost leader';

export interface LockSessionOptions {
  readonly url: string;
  /** As pg_stat_activity shows it. */
  readonly applicationName: string;
  /** Milliseconds without a statement after which the server ends the session. */
  readonly idleTimeout: number;
  readonly clock: Clock;
}

const CONNECT_TIMEOUT_MS = 10_000;
const CLOSE_TIMEOUT_MS = 1_000;

/** A connection of its own, so that nothing else can end it, use it, or keep it busy. */
export class LockSession implements AsyncDisposable {
  private readonly client: pg.Client;
  private readonly settings: Readonly<Record<string, string>>;
  private readonly socket: net.Socket;
  private readonly clock: Clock;
  private readonly over = new AbortController();

  private constructor(options: LockSessionOptions) {
    const { url, applicationName, idleTimeout, clock } = options;
    this.settings = { idle_session_timeout: String(idleTimeout), statement_timeout: String(idleTimeout) };
    this.clock = clock;
    this.socket = new net.Socket();
    const session = { url, applicationName, settings: this.settings };
    this.client = sessionClient(session, {
      connectionTimeoutMillis: CONNECT_TIMEOUT_MS,
      keepAlive: true,
      keepAliveInitialDelayMillis: Math.min(idleTimeout, 10_000),
      types: textTypes,
      stream: () => this.socket,
    });
    this.client.on('error', (error) => this.end(databaseError(error)));
    this.client.on('end', () => this.end(new WalpostError('CONNECTION_LOST')));
  }

  /** Aborting the signal ends the session, now and later. */
  static async open(options: LockSessionOptions, signal: AbortSignal): Promise<LockSession> {
    const session = new LockSession(options);
    const abort = (): void =>
      session.cut(new WalpostError('CONNECTION_LOST', { detail: 'It was not wanted any more.' }));
    signal.addEventListener('abort', abort, { once: true });
    const timer = options.clock.schedule(CONNECT_TIMEOUT_MS, () => session.socket.destroy());
    try {
      await connectSession(session.client, session.settings);
      return session;
    } catch (error) {
      session.socket.destroy();
      throw databaseError(error, 'the session of the leader lock');
    } finally {
      timer.cancel();
      signal.removeEventListener('abort', abort);
    }
  }

  /** Aborted when the session has ended, with the reason. */
  get ended(): AbortSignal {
    return this.over.signal;
  }

  /** The rows of one statement; a session that does not answer in time is cut. */
  async ask<R extends pg.QueryResultRow>(sql: string, values: readonly unknown[], limit: number): Promise<R[]> {
    const timer = this.clock.schedule(limit, () => {
      const detail = `The session of the leader lock did not answer for ${(limit / 1000).toFixed(1)} s.`;
      this.cut(new WalpostError('CONNECTION_LOST', { detail }));
    });
    try {
      return (await this.client.query<R>(sql, [...values])).rows;
    } catch (error) {
      throw this.ended.aborted ? this.ended.reason : databaseError(error, 'the session of the leader lock');
    } finally {
      timer.cancel();
    }
  }

  /** Ends the session without a word. The server lets go of the lock when it notices. */
  cut(reason: Error): void {
    this.end(reason);
    this.socket.destroy();
  }

  /** Says goodbye, so that the server lets go of the lock at once. */
  async [Symbol.asyncDispose](): Promise<void> {
    const timer = this.clock.schedule(CLOSE_TIMEOUT_MS, () => this.socket.destroy());
    await this.client.end().catch(() => undefined);
    timer.cancel();
    this.socket.destroy();
  }

  private end(reason: Error): void {
    if (!this.ended.aborted) this.over.abort(reason);
  }
}
