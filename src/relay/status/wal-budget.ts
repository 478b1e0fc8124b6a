import type { Lsn } from '../../lsn.ts';
import type { Lag } from '../../observe/status-report.ts';
import { UNKNOWN_BUDGET, type WalBudget } from '../../observe/wal-status.ts';

/** Looks that are closer together say little about a rate. */
const SHORTEST_MS = 1_000;

/** How fast the server writes WAL, measured from one look to the next. */
export class WalRate {
  private last: { readonly end: Lsn; readonly at: number } | undefined;
  private rate: number | null = null;

  /** The end of the WAL at a time in milliseconds. Returns bytes per second; null as long as they are not known. */
  seen(end: Lsn | null, at: number): number | null {
    const { last } = this;
    if (end === null || (last && at <= last.at)) return this.rate; // an answer that was read before the last one
    if (last && end >= last.end && at - last.at < SHORTEST_MS) return this.rate;
    this.rate = last && end >= last.end ? (Number(end - last.end) * 1000) / (at - last.at) : null;
    this.last = { end, at };
    return this.rate;
  }
}

/** The nearer of the two limits: what the server keeps at most, and where walpost warns. */
export function walBudget(
  { retainedBytes, safeBytes }: Pick<Lag, 'retainedBytes' | 'safeBytes'>,
  walWarn: number,
  rate: number | null,
): WalBudget {
  if (retainedBytes === null) return { ...UNKNOWN_BUDGET, writtenBytesPerSecond: rate };
  const warn = Math.max(0, walWarn - retainedBytes);
  const isServers = safeBytes !== null && safeBytes < warn;
  const leftBytes = isServers ? Math.max(0, safeBytes) : warn;
  return {
    limit: isServers ? 'max_slot_wal_keep_size' : 'source.wal_warn',
    // After the limit was lowered the sum says nothing.
    limitBytes: !isServers ? walWarn : retainedBytes + safeBytes > 0 ? retainedBytes + safeBytes : null,
    leftBytes,
    writtenBytesPerSecond: rate,
    secondsLeft: rate === null || rate <= 0 ? null : leftBytes / rate,
  };
}
