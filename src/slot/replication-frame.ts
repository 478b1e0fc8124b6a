import { WalpostError } from '../errors.ts';
import type { Lsn } from '../lsn.ts';

/**
 * The two frames that a server sends inside a replication stream, and where their fields are.
 *
 *   'w'  start LSN (8)  server's end LSN (8)  clock (8)  message of the output plugin
 *   'k'  server's end LSN (8)  clock (8)  reply requested (1)
 *
 * The fields are read one by one, so that a message costs no object of its own.
 * https://www.postgresql.org/docs/current/protocol-replication.html
 */
export const WAL_DATA = 0x77; // 'w'
export const KEEPALIVE = 0x6b; // 'k'

/**
 * Where both frames say how far the stream has come. A logical walsender writes the same LSN into both fields of a data
 * frame: for a commit its end LSN.
 */
export const POSITION = 1;

const WAL_DATA_HEADER = 25;
const KEEPALIVE_BYTES = 18;

/** The kind of the frame, once it is known to be as long as its kind demands. */
export function frameKind(frame: Buffer): typeof WAL_DATA | typeof KEEPALIVE {
  const kind = frame[0];
  if (kind === WAL_DATA && frame.length >= WAL_DATA_HEADER) return WAL_DATA;
  if (kind === KEEPALIVE && frame.length >= KEEPALIVE_BYTES) return KEEPALIVE;
  const name = kind === undefined ? 'no kind' : `kind 0x${kind.toString(16).padStart(2, '0')}`;
  throw new WalpostError('PROTOCOL', { detail: `A replication frame of ${frame.length} bytes has ${name}.` });
}

/** The message of the output plugin: a view into the frame. */
export function walDataPayload(frame: Buffer): Buffer {
  return frame.subarray(WAL_DATA_HEADER);
}

/** Everything before this has been sent. */
export function keepaliveEnd(frame: Buffer): Lsn {
  return frame.readBigUInt64BE(POSITION);
}

export function keepaliveAsksReply(frame: Buffer): boolean {
  return frame[17] !== 0;
}
