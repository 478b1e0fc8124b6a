import { LSN_ZERO } from '../lsn.ts';
import type { Lsn } from '../lsn.ts';

/**
 * The standby status update: how far this end has received and confirmed.
 *
 * The server reads `flushed` as "everything before this LSN is safe, never send it again", so it is an end LSN exactly.
 * One byte more would claim the first byte of the next commit record: transactions that commit back to back have
 * `commit LSN(B) = end LSN(A)`, and B would be lost by the next reconnect.
 *
 * A flush position of zero means "no statement", which leaves the slot where it is. That is the answer to a request for
 * a reply while something is unconfirmed: a server that shuts down waits until its standbys have flushed all that was
 * sent, or, if they make no statement about flushing, until they have written it. With a flush position, `pg_ctl stop -m fast`
 * would wait forever for an event that can no longer settle.
 * https://www.postgresql.org/docs/current/protocol-replication.html
 */
export interface StandbyStatus {
  readonly written: Lsn;
  readonly flushed: Lsn;
  readonly applied: Lsn;
  /** Microseconds since 2000-01-01 UTC on this end's clock. */
  readonly clockMicros: bigint;
  readonly replyRequested: boolean;
}

const STATUS_BYTES = 34;
const STATUS_KIND = 0x72; // 'r'

export function encodeStandbyStatus(status: StandbyStatus): Buffer {
  const packet = Buffer.allocUnsafe(STATUS_BYTES);
  packet[0] = STATUS_KIND;
  packet.writeBigUInt64BE(status.written, 1);
  packet.writeBigUInt64BE(status.flushed, 9);
  packet.writeBigUInt64BE(status.applied, 17);
  packet.writeBigInt64BE(status.clockMicros, 25);
  packet[33] = status.replyRequested ? 1 : 0;
  return packet;
}

export type StatusOccasion =
  /** The timer: also asks the server to answer, so that a healthy idle connection is never silent. */
  | 'periodic'
  /** The server asked. */
  | 'requested'
  /** The confirmed position moved. */
  | 'confirmed';

/** What a status says on each occasion. */
export function statusFor(occasion: StatusOccasion, received: Lsn, confirmed: Lsn): Omit<StandbyStatus, 'clockMicros'> {
  const flushed = occasion === 'requested' && confirmed !== received ? LSN_ZERO : confirmed;
  return { written: received, flushed, applied: flushed, replyRequested: occasion === 'periodic' };
}
