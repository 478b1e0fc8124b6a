/**
 * Which transactions a snapshot sees, worked out from its text form `xmin:xmax:xip,xip`.
 * https://www.postgresql.org/docs/current/functions-info.html#FUNCTIONS-PG-SNAPSHOT
 *
 * The stream names a transaction by 32 bits, the snapshot by 64. Postgres never lets two transactions that matter be
 * more than 2^31 apart, so the 64-bit number is the one nearest to the snapshot's xmax that ends in those 32 bits.
 */
import type pg from 'pg';
import { WalpostError } from '../errors.ts';
import { databaseError } from './database-error.ts';

export interface Snapshot {
  /** Every transaction below has ended. */
  readonly xmin: bigint;
  /** No transaction from here on had begun, or ended, as the snapshot sees it. */
  readonly xmax: bigint;
  /** Those between that were still running. */
  readonly running: ReadonlySet<bigint>;
}

const SNAPSHOT_TEXT = /^(\d+):(\d+):((?:\d+(?:,\d+)*)?)$/;

export function parseSnapshot(text: string): Snapshot {
  const match = SNAPSHOT_TEXT.exec(text);
  if (!match) throw new WalpostError('PROTOCOL', { detail: `${JSON.stringify(text.slice(0, 80))} is no snapshot.` });
  const running = match[3] ? match[3].split(',').map(BigInt) : [];
  return { xmin: BigInt(match[1] ?? ''), xmax: BigInt(match[2] ?? ''), running: new Set(running) };
}

/** The 64-bit transaction id nearest to `near` that ends in the given 32 bits. */
export function widenXid(xid32: number, near: bigint): bigint {
  const distance = (xid32 - Number(near & 0xffffffffn)) | 0;
  return near + BigInt(distance);
}

/** Whether the snapshot sees what the transaction committed. The transaction must be known to have committed. */
export function seesXid(snapshot: Snapshot, xid32: number): boolean {
  const xid = widenXid(xid32, snapshot.xmax);
  if (xid < snapshot.xmin) return true;
  return xid < snapshot.xmax && !snapshot.running.has(xid);
}

/** Whether it sees every transaction that the other one sees. */
export function seesAllOf(snapshot: Snapshot, other: Snapshot): boolean {
  const begunLater = [...other.running].filter((xid) => xid >= snapshot.xmax).length;
  if (other.xmax - snapshot.xmax > begunLater) return false;
  return [...snapshot.running].every((xid) => xid >= other.xmax || other.running.has(xid));
}

/** Named, so that it is planned once in a session: deliveries wait for its answer. */
const CURRENT = { name: 'walpost_snapshot', text: 'SELECT pg_current_snapshot()::text AS snapshot' };

export async function currentSnapshot(pool: pg.Pool): Promise<Snapshot> {
  try {
    const { rows } = await pool.query<{ snapshot: string }>(CURRENT);
    return parseSnapshot(rows[0]?.snapshot ?? '');
  } catch (error) {
    throw databaseError(error, 'reading a snapshot');
  }
}
