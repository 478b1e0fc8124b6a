import { type ErrorCode, WalpostError, messageOf } from '../errors.ts';
import { placeNotReached } from './driver-connection.ts';
import { SQLSTATE, sqlStateOf } from './sqlstate.ts';
import { tlsError } from './tls-error.ts';

const BY_STATE: Readonly<Record<string, ErrorCode>> = {
  [SQLSTATE.invalidAuthorization]: 'AUTHENTICATION',
  [SQLSTATE.invalidPassword]: 'AUTHENTICATION',
  [SQLSTATE.invalidCatalogName]: 'DATABASE_MISSING',
  [SQLSTATE.insufficientPrivilege]: 'PERMISSION_DENIED',
  [SQLSTATE.tooManyConnections]: 'TOO_MANY_CONNECTIONS',
  [SQLSTATE.readOnlyTransaction]: 'HOT_STANDBY', // no setting can cause it: sessions of walpost switch that one off
  [SQLSTATE.adminShutdown]: 'SERVER_SHUTDOWN',
  [SQLSTATE.crashShutdown]: 'SERVER_SHUTDOWN',
  [SQLSTATE.cannotConnectNow]: 'SERVER_SHUTDOWN',
  [SQLSTATE.databaseDropped]: 'DATABASE_MISSING',
  [SQLSTATE.idleInTransactionTimeout]: 'CONNECTION_LOST',
  [SQLSTATE.idleSessionTimeout]: 'CONNECTION_LOST',
};

/** What the driver says without a code when a connection ends or does not come about; pinned by a test. */
const DRIVER_LOSES_CONNECTION = [
  /^Connection terminated/,
  /^timeout expired$/,
  /^timeout exceeded when trying to connect$/,
  /^Query read timeout$/,
  /^Client (has encountered a connection error|was closed) and is not queryable$/,
];

/** Messages of these classes quote the values of the statement, which may be a payload. */
const QUOTES_VALUES = /^2[23]/;

/**
 * What an error of the server, the driver or the socket means, by SQLSTATE. An error that is none of these is a defect
 * of ours and comes back as it is, so that no retry hides it.
 */
export function databaseError(error: unknown, detail?: string): Error {
  if (error instanceof WalpostError) return error;
  const ofTls = tlsError(error);
  if (ofTls) return ofTls;
  const say = (text: string): string => (detail === undefined ? text : `${detail}: ${text}`);
  const state = sqlStateOf(error);
  if (state !== undefined) {
    const text = QUOTES_VALUES.test(state) ? `SQLSTATE ${state}` : `${messageOf(error)} (SQLSTATE ${state})`;
    const code = BY_STATE[state] ?? (state.startsWith('08') ? lostOrPooler(state, text) : 'DATABASE');
    const place = code === 'POOLER' && error instanceof Error ? placeNotReached(error) : undefined;
    const told = place === undefined ? say(text) : `At ${place}: ${text}`;
    // The server begins small, and here its words stand as a sentence of their own.
    const sentence = code === 'AUTHENTICATION' ? told.charAt(0).toUpperCase() + told.slice(1) : told;
    return new WalpostError(code, { detail: `${sentence}.`, cause: error });
  }
  if (error instanceof Error && error.message.startsWith('SASL: ')) {
    return new WalpostError('AUTHENTICATION', { detail: `${say(messageOf(error))}.`, cause: error });
  }
  if (isConnectionFailure(error)) {
    const place = placeNotReached(error);
    const reason = connectionText(error)
      .replace(/^timeout expired$/, 'no answer in time')
      .replace(/\.$/, '');
    if (place !== undefined) {
      return new WalpostError('SERVER_UNREACHABLE', { detail: `At ${place}: ${reason}.`, cause: error });
    }
    return new WalpostError('CONNECTION_LOST', { detail: say(connectionText(error)), cause: error });
  }
  return error instanceof Error ? error : new Error(String(error));
}

/** Every server knows what we send when a session begins; PgBouncer refuses it with the state of any broken protocol. */
function lostOrPooler(state: string, text: string): ErrorCode {
  const refused = state === SQLSTATE.protocolViolation && text.includes('startup parameter');
  return refused ? 'POOLER' : 'CONNECTION_LOST';
}

function isConnectionFailure(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  if (error instanceof AggregateError) return error.errors.length > 0 && error.errors.every(isConnectionFailure);
  return 'syscall' in error || DRIVER_LOSES_CONNECTION.some((text) => text.test(error.message));
}

/** Node's AggregateError, from a name with several addresses, has no message of its own. */
function connectionText(error: Error): string {
  return error instanceof AggregateError ? error.errors.map(messageOf).join(', ') : messageOf(error);
}
