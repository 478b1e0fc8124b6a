import type { Origin } from '../event.ts';
import type { Settlement } from '../pipeline.ts';

/**
 * The origin of the events of one page of a scan, and what settles with them: the page. Where a transaction's ticket lies
 * in the ledger of ack, a page settles itself.
 */
export class PageTicket implements Origin {
  readonly commitLsn = null;
  readonly xid = null;
  readonly committedAtMicros = null;
  readonly endLsn = null;
  readonly visible = true;
  readonly carried = true;
  readonly job: string;
  readonly receivedAt: number;
  unsettled = 0;
  /** Resolves once the page is complete and all of it is settled. */
  readonly settled: Promise<void>;
  private complete = false;
  private finish: () => void = () => undefined;

  constructor(job: string, receivedAt: number) {
    this.job = job;
    this.receivedAt = receivedAt;
    this.settled = new Promise((resolve) => {
      this.finish = resolve;
    });
  }

  hold(count: number): void {
    this.unsettled += count;
  }

  settle(): void {
    this.unsettled -= 1;
    if (this.unsettled < 0) throw new Error('settled more often than held');
    this.look();
  }

  /** The last of its events has been handed on. */
  close(): void {
    this.complete = true;
    this.look();
  }

  private look(): void {
    if (this.complete && this.unsettled === 0) this.finish();
  }
}

/** Sends what belongs to a page to its ticket, and the rest, transactions of the stream, to the ledger. */
export function withPageTickets(transactions: Settlement): Settlement {
  return {
    hold: (origin, count) => (origin instanceof PageTicket ? origin.hold(count) : transactions.hold(origin, count)),
    settle: (origin) => (origin instanceof PageTicket ? origin.settle() : transactions.settle(origin)),
  };
}
