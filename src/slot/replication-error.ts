import { WalpostError } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';
import { databaseError } from '../postgres/database-error.ts';
import { SQLSTATE, isSqlState, sqlStateOf } from '../postgres/sqlstate.ts';

/** What a SQLSTATE says on a replication connection and nowhere else. */
const BY_STATE: Readonly<Record<string, ErrorCode>> = {
  [SQLSTATE.configurationLimitExceeded]: 'TOO_MANY_SLOTS',
  [SQLSTATE.objectInUse]: 'SLOT_IN_USE',
};

/**
 * An error of a replication connection, by SQLSTATE and never by its wording.
 *
 * 55000 and 42704 stay general on purpose. They say "look at the slot": 55000 is a lost slot, but also a slot of another
 * database or a physical one, and 42704 is a missing slot, but also a missing publication. The truth is in
 * pg_replication_slots, see slot-state.ts.
 */
export function replicationError(error: unknown): Error {
  const known = databaseError(error);
  const code = BY_STATE[sqlStateOf(error) ?? ''];
  if (!code) return known;
  return new WalpostError(code, { detail: serverWords(error), cause: error });
}

/** The server, or this session of it, is going away: nothing more can be expected of the connection. */
export function isShutdown(error: unknown): boolean {
  return isSqlState(error, SQLSTATE.adminShutdown, SQLSTATE.crashShutdown, SQLSTATE.cannotConnectNow);
}

/** The server's own sentence, with its SQLSTATE. */
export function serverWords(error: unknown): string {
  const words = error instanceof Error ? error.message : String(error);
  return `The server says: ${words} (SQLSTATE ${sqlStateOf(error) ?? 'none'}).`;
}
