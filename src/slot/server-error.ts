import { WalpostError, messageOf } from '../errors.ts';
import type { ErrorCode } from '../errors.ts';

/**
 * From what the driver throws to what a person can act on, by SQLSTATE and never by the wording.
 *
 * 55000 and 42704 stay general on purpose. They say "look at the slot": 55000 is a lost slot, but also a slot of another
 * database or a physical one, and 42704 is a missing slot, but also a missing publication. The truth is in
 * pg_replication_slots, see slot-state.ts.
 * https://www.postgresql.org/docs/current/errcodes-appendix.html
 */
const ADMIN_SHUTDOWN = '57P01';
const CRASH_SHUTDOWN = '57P02';
const CANNOT_CONNECT_NOW = '57P03';
export const LOCK_NOT_AVAILABLE = '55P03';
export const INSUFFICIENT_PRIVILEGE = '42501';
export const SYNTAX_ERROR = '42601';
export const PROTOCOL_VIOLATION = '08P01';
export const TOO_MANY_CONNECTIONS = '53300';
export const DUPLICATE_OBJECT = '42710';

const SHUTDOWN = new Set([ADMIN_SHUTDOWN, CRASH_SHUTDOWN, CANNOT_CONNECT_NOW]);

const CODE_OF: Readonly<Record<string, ErrorCode>> = {
  [ADMIN_SHUTDOWN]: 'SERVER_SHUTDOWN',
  [CRASH_SHUTDOWN]: 'SERVER_SHUTDOWN',
  [CANNOT_CONNECT_NOW]: 'SERVER_SHUTDOWN',
  '28000': 'AUTHENTICATION',
  '28P01': 'AUTHENTICATION',
  '3D000': 'DATABASE_MISSING',
  '53400': 'TOO_MANY_SLOTS',
  '55006': 'SLOT_IN_USE',
  [INSUFFICIENT_PRIVILEGE]: 'PERMISSION_DENIED',
};

/** The five characters of a server's error; undefined for an error of the socket or of the driver. */
export function sqlStateOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('severity' in error)) return undefined;
  return 'code' in error && typeof error.code === 'string' ? error.code : undefined;
}

/** The server, or this session of it, is going away: nothing more can be expected of the connection. */
export function isShutdown(error: unknown): boolean {
  return SHUTDOWN.has(sqlStateOf(error) ?? '');
}

/** The general reading of an error; places that know more look at the SQLSTATE first. */
export function toWalpostError(error: unknown): WalpostError {
  if (error instanceof WalpostError) return error;
  const state = sqlStateOf(error);
  const code = state === undefined ? 'CONNECTION_LOST' : (CODE_OF[state] ?? 'DATABASE');
  return new WalpostError(code, { detail: sentence(error, state), cause: error });
}

/** The server's words, with the SQLSTATE, as one sentence. */
export function sentence(error: unknown, state = sqlStateOf(error)): string {
  const words = messageOf(error).replace(/\.$/, '');
  return state === undefined ? `${words}.` : `${words} (SQLSTATE ${state}).`;
}
