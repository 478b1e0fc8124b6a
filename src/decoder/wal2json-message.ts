import { malformed } from './byte-cursor.ts';
import { quoteNumbers } from './quote-numbers.ts';

/** One message of wal2json with its numbers as text; strings are latin1 of the UTF-8 bytes, as wire text is. */
export interface Wal2jsonMessage {
  readonly action: string;
  readonly [key: string]: unknown;
}

export interface Wal2jsonColumn {
  readonly name: string;
  /** Text as Postgres prints the type. */
  readonly value: string | null;
  readonly typeOid: number;
}

export const BYTEA = 17;

export function parseMessage(payload: Buffer): Wal2jsonMessage {
  return asMessage(parseJson(quoteNumbers(payload.toString('latin1'))));
}

export function asMessage(message: unknown): Wal2jsonMessage {
  if (!isObject(message) || typeof message['action'] !== 'string')
    throw malformed('A message of wal2json has no action.');
  return message as Wal2jsonMessage;
}

/** A member that the start options ask for. */
export function textOf(message: Wal2jsonMessage, member: string): string {
  const value = message[member];
  if (typeof value !== 'string') throw missing(message, member);
  return value;
}

export function columnsOf(message: Wal2jsonMessage): Wal2jsonColumn[] {
  const columns = message['columns'];
  if (!Array.isArray(columns)) throw missing(message, 'columns');
  return columns.map((column: unknown) => {
    if (!isObject(column)) throw missing(message, 'columns');
    const { name, typeoid, value } = column;
    if (typeof name !== 'string' || typeof typeoid !== 'string' || value === undefined)
      throw missing(message, 'columns');
    const typeOid = Number(typeoid) >>> 0; // printed as if it were signed
    return { name, typeOid, value: asPostgresPrints(value, typeOid) };
  });
}

/** wal2json turns t and f into true and false, and leaves out what begins every bytea. */
function asPostgresPrints(value: unknown, typeOid: number): string | null {
  if (value === null) return null;
  if (typeof value === 'boolean') return value ? 't' : 'f';
  if (typeof value !== 'string') throw malformed('A column of wal2json has a value that is no text.');
  return typeOid === BYTEA ? `\\x${value}` : value;
}

export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text) as unknown;
  } catch {
    throw malformed('A message of wal2json is not JSON.'); // without the cause, which quotes the row
  }
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === 'object' && value !== null && !Array.isArray(value);

const missing = (message: Wal2jsonMessage, member: string): Error =>
  malformed(
    `A message of wal2json with the action ${message.action.slice(0, 8)} has no ${member}; see its start options.`,
  );
