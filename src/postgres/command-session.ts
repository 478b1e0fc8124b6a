/**
 * A session of a command whose statements may take as long as a table is large, or as long as somebody thinks: `walpost
 * migrate` and `walpost uninstall`. No statement of it has a limit, so the server is asked beside it. As long as it answers
 * another session, the statement is at work; when it has answered nobody for SILENCE_MS, the command ends.
 *
 * A login alone is no answer: a pooler gives it for a server that is silent. A pool may also have no server left for the
 * question, so what the sessions of the command themselves are answered counts as well.
 */
import type pg from 'pg';
import { type Clock, pause, systemClock } from '../clock.ts';
import { WalpostError } from '../errors.ts';
import { databaseError } from './database-error.ts';
import { SILENCE_MS } from './pool.ts';
import { beginSession, connectSession, placeOf, sessionClient, type SessionOptions } from './session.ts';
import { sqlStateOf } from './sqlstate.ts';

export interface CommandSession extends SessionOptions {
  readonly types?: pg.CustomTypesConfig;
  /** Milliseconds without an answer after which the server counts as silent; SILENCE_MS by default. */
  readonly silenceMs?: number;
  readonly clock?: Clock;
  /** When the server has last answered; sessions of one command share it. */
  readonly heard?: LastHeard;
}

/** In milliseconds of the clock. */
export interface LastHeard {
  at: number;
}

const CONNECT_TIMEOUT_MS = 10_000;
/** How often the server is asked while it may be silent. */
const LOOKS = 6;
/** A server that does not take the farewell would keep the process alive. */
const GOODBYE_MS = 2_000;

/** Runs the work in a session that is closed afterwards. Rejects with a WalpostError where the server is to blame. */
export async function inCommandSession<T>(
  options: CommandSession,
  work: (client: pg.Client) => Promise<T>,
): Promise<T> {
  const { types, clock = systemClock, heard = { at: clock.now() } } = options;
  const limits = { connectionTimeoutMillis: CONNECT_TIMEOUT_MS, keepAlive: true, ...(types && { types }) };
  const client = sessionClient(options, limits);
  client.on('error', () => undefined); // the statement that is running rejects with it
  try {
    await client.connect();
    client.connection.on('readyForQuery', () => (heard.at = clock.now()));
    heard.at = clock.now();
    return await whileAnswered({ ...options, heard }, async () => {
      await beginSession(client, options.settings);
      return work(client);
    });
  } catch (error) {
    throw databaseError(error);
  } finally {
    const cut = clock.schedule(GOODBYE_MS, () => client.connection.stream.destroy());
    await client.end().catch(() => undefined);
    cut.cancel();
  }
}

type Watched = CommandSession & { readonly heard: LastHeard };

/** The work's result, or CONNECTION_LOST once nobody has been answered for so long. */
async function whileAnswered<T>(options: Watched, work: () => Promise<T>): Promise<T> {
  const over = new AbortController();
  try {
    return await Promise.race([work(), silence(options, over.signal)]);
  } finally {
    over.abort();
  }
}

/** Rejects when the server is silent, and never resolves before the signal. */
async function silence(options: Watched, over: AbortSignal): Promise<never> {
  const { silenceMs = SILENCE_MS, clock = systemClock, heard } = options;
  for (;;) {
    await pause(clock, silenceMs / LOOKS, over);
    if (over.aborted) return new Promise<never>(() => undefined);
    const { place, answers } = await look(options, Math.min(CONNECT_TIMEOUT_MS, silenceMs));
    if (over.aborted) return new Promise<never>(() => undefined);
    if (answers) heard.at = clock.now();
    else if (clock.now() - heard.at >= silenceMs) throw silent(place, silenceMs);
  }
}

/** A refusal of the server, such as too many connections, is an answer too. */
async function look(options: CommandSession, timeout: number): Promise<{ place: string; answers: boolean }> {
  const client = sessionClient(options, { connectionTimeoutMillis: timeout, query_timeout: timeout });
  client.on('error', () => undefined);
  const place = placeOf(client);
  try {
    await connectSession(client, options.settings);
    void client.end().catch(() => undefined);
    return { place, answers: true };
  } catch (error) {
    client.connection.stream.destroy();
    return { place, answers: isAnswer(error) };
  }
}

/** The server itself has said it, or its settings, which it has been asked for, are not those of the session. */
function isAnswer(error: unknown): boolean {
  if (!(error instanceof WalpostError)) return sqlStateOf(error) !== undefined;
  return error.code === 'POOLER' || error.code === 'SESSION_SETTING' || sqlStateOf(error.cause) !== undefined;
}

function silent(place: string, silenceMs: number): WalpostError {
  return new WalpostError('CONNECTION_LOST', {
    detail: `At ${place}: no answer for ${Math.round(silenceMs / 1000)} s.`,
    remedy:
      'Look at the network and at the load of the server, then run the command again: it goes on with what is not done yet.',
  });
}
