import type { BeginTransaction, Origin } from '../event.ts';
import { formatLsn, type Lsn } from '../lsn.ts';
import type { Begin, Commit } from '../pipeline.ts';
import { malformed } from './byte-cursor.ts';
import { EARLIEST_MICROS, LATEST_MICROS } from './timestamps.ts';

/** The transaction that the stream is in: it checks that Begin and Commit are a pair, and counts what is between. */
export class Transaction {
  private readonly beginTransaction: BeginTransaction;
  private openOrigin: Origin | null = null;
  private ordinal = 0;

  constructor(beginTransaction: BeginTransaction) {
    this.beginTransaction = beginTransaction;
  }

  begin(commitLsn: Lsn, xid: number, committedAtMicros: bigint): Begin {
    if (this.openOrigin) throw malformed('A transaction begins inside another.');
    if (committedAtMicros < EARLIEST_MICROS || committedAtMicros >= LATEST_MICROS) {
      throw malformed('A commit time lies outside the years 1 to 9999.');
    }
    this.ordinal = 0;
    const origin = this.beginTransaction(commitLsn, xid, committedAtMicros);
    this.openOrigin = origin;
    return { kind: 'begin', origin };
  }

  /** Whose change this is. */
  get origin(): Origin {
    if (!this.openOrigin) throw malformed('A change arrived outside a transaction.');
    return this.openOrigin;
  }

  /** What comes next: events, poison rows and refused messages are counted, from 0. */
  nextOrdinal(): number {
    return this.ordinal++;
  }

  commit(commitLsn: Lsn, endLsn: Lsn): Commit {
    const begun = this.origin.commitLsn;
    if (begun !== commitLsn) {
      throw malformed(`A Commit names ${formatLsn(commitLsn)}, its Begin ${begun === null ? '' : formatLsn(begun)}.`);
    }
    if (endLsn < commitLsn) throw malformed(`A transaction ends before its commit record ${formatLsn(commitLsn)}.`);
    this.openOrigin = null;
    return { kind: 'commit', commitLsn, endLsn };
  }
}
