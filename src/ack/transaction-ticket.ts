import type { Origin } from '../event.ts';
import type { Lsn } from '../lsn.ts';

/**
 * A transaction of the stream: the origin of its events, and what settles with them in the ledger. There is one object for
 * each transaction and none for each event.
 */
export class TransactionTicket implements Origin {
  readonly commitLsn: Lsn;
  readonly xid: number;
  readonly committedAtMicros: bigint;
  readonly job = null;
  visible = false;
  visibleAt = 0;
  receivedAt = 0;
  carriesCanary = false;
  private readonly onSettled: () => void;
  private end: Lsn | null = null;
  private unsettled = 0;
  private expected = false;

  /** `onSettled` is called when the ticket is closed and nothing is in flight any more. */
  constructor(onSettled: () => void, commitLsn: Lsn, xid: number, committedAtMicros: bigint) {
    this.onSettled = onSettled;
    this.commitLsn = commitLsn;
    this.xid = xid;
    this.committedAtMicros = committedAtMicros;
  }

  /** Null until its Commit was seen. */
  get endLsn(): Lsn | null {
    return this.end;
  }

  /** It carried something of ours; false for a foreign transaction. */
  get carried(): boolean {
    return this.expected;
  }

  get isSettled(): boolean {
    return this.end !== null && this.unsettled === 0;
  }

  expect(count: number): void {
    this.unsettled += count;
    this.expected = true;
  }

  settle(): void {
    this.unsettled -= 1;
    if (this.unsettled < 0) throw new Error('settled more often than expected');
    if (this.isSettled) this.onSettled();
  }

  /** Its Commit was seen: the last of its events has been handed on. */
  close(endLsn: Lsn): void {
    this.end = endLsn;
    if (this.isSettled) this.onSettled();
  }
}
