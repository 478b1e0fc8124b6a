import pg from 'pg';
import { WalpostError } from '../errors.ts';
import { quoteIdentifier } from '../postgres/identifiers.ts';
import { SQLSTATE, sqlStateOf } from '../postgres/sqlstate.ts';
import { replicationConfig } from './replication-client.ts';
import { replicationError, serverWords } from './replication-error.ts';

/** What no server says to a command of replication, but poolers do. */
const SYNTAX_ERROR = '42601';

export interface HandshakeOptions {
  readonly url: string;
  /** Who connects, for the sentence about the missing attribute. */
  readonly role: string;
  /** An ordinary session had another process id than the one that was announced: there is something in between. */
  readonly throughProxy: boolean;
}

export interface SystemIdentity {
  readonly systemIdentifier: string;
  readonly timeline: number;
}

/** Opens a replication connection, as the stream will, and asks the one question that only a walsender answers. */
export async function identifySystem(options: HandshakeOptions): Promise<SystemIdentity> {
  const { config } = replicationConfig({ url: options.url });
  const client = new pg.Client({ ...config, query_timeout: config.connectionTimeoutMillis });
  client.on('error', () => {}); // the query that is running rejects with it
  try {
    await client.connect();
    const { rows } = await client.query<{ systemid: string; timeline: number | string }>('IDENTIFY_SYSTEM');
    const system = rows[0];
    if (!system) throw new WalpostError('PROTOCOL', { detail: 'IDENTIFY_SYSTEM gave no row.' });
    // int4 up to PG 15, int8 since
    return { systemIdentifier: system.systemid, timeline: Number(system.timeline) };
  } catch (error) {
    throw explainRefusal(error, options);
  } finally {
    await client.end().catch(() => {});
  }
}

/** The ordinary connection works, the one for replication does not: whose doing is it? */
function explainRefusal(error: unknown, { role, throughProxy }: HandshakeOptions): Error {
  const state = sqlStateOf(error);
  if (state === SQLSTATE.insufficientPrivilege) {
    return new WalpostError('NO_REPLICATION_ROLE', {
      detail: `It is "${role}".`,
      remedy:
        `ALTER ROLE ${quoteIdentifier(role)} REPLICATION; ` +
        `(on managed Postgres, grant the provider's replication role).`,
      cause: error,
    });
  }
  const isPoolersAnswer = state === SQLSTATE.protocolViolation || state === SYNTAX_ERROR;
  const known = replicationError(error);
  const isExplained =
    known instanceof WalpostError && !['CONNECTION_LOST', 'SERVER_UNREACHABLE', 'DATABASE'].includes(known.code);
  if (isPoolersAnswer || (throughProxy && !isExplained)) {
    return new WalpostError('POOLER', { detail: serverWords(error), cause: error });
  }
  return known;
}
