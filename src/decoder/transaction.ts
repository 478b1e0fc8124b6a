import type { Origin } from '../event.ts';
import { formatLsn, type Lsn } from '../lsn.ts';
import type { Begin, Commit } from '../pipeline.ts';
import { malformed } from './byte-cursor.ts';

/** Years 0001 to 9999, so that each commit time can be written in RFC 3339. */
const EARLIEST_MICROS = -63_082_281_600_000_000n;
const LATEST_MICROS = 252_455_616_000_000_000n;

/** The transaction that the stream is in: it checks that Begin and Commit are a pair, and counts what is between. */
export class Transaction {
  #origin: Origin | null = null;
  #ordinal = 0;

  begin(commitLsn: Lsn, xid: number, committedAtMicros: bigint): Begin {
    if (this.#origin) throw malformed('A transaction begins inside another.');
    if (committedAtMicros < EARLIEST_MICROS || committedAtMicros >= LATEST_MICROS) {
      throw malformed('A commit time lies outside the years 1 to 9999.');
    }
    this.#ordinal = 0;
    const origin: Origin = {
      commitLsn,
      xid,
      committedAtMicros,
      unsettled: 0,
      carried: false,
      receivedAt: 0,
      job: null,
      endLsn: null,
      visible: false,
    };
    this.#origin = origin;
    return { kind: 'begin', origin };
  }

  /** Whose change this is. */
  get origin(): Origin {
    if (!this.#origin) throw malformed('A change arrived outside a transaction.');
    return this.#origin;
  }

  /** What comes next: events, poison rows and refused messages are counted, from 0. */
  nextOrdinal(): number {
    return this.#ordinal++;
  }

  commit(commitLsn: Lsn, endLsn: Lsn): Commit {
    const begun = this.origin.commitLsn;
    if (begun !== commitLsn) {
      throw malformed(`A Commit names ${formatLsn(commitLsn)}, its Begin ${begun === null ? '' : formatLsn(begun)}.`);
    }
    if (endLsn < commitLsn) throw malformed(`A transaction ends before its commit record ${formatLsn(commitLsn)}.`);
    this.#origin = null;
    return { kind: 'commit', commitLsn, endLsn };
  }
}
