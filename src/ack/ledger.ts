/**
 * The ledger of one connection: which transactions are open, and up to where everything is settled.
 *
 * A transaction is open from its Begin until its Commit was seen and every delivery and insert of its events has
 * settled. Transactions arrive in commit order, so the watermark is the end LSN of the last one before the oldest that
 * is open. A later transaction that settles first waits in the queue; it moves the watermark when its turn comes.
 *
 * With nothing open a keepalive moves the watermark too. The server has sent everything before the keepalive's position by
 * then, and what of it is ours has settled. While a transaction is open a keepalive does not move the watermark: its
 * position can be later than the end of that transaction, which has not settled.
 *
 * The watermark belongs to the connection: a new connection starts a new ledger, because the server sends everything
 * unconfirmed again and an old position could be of another timeline.
 */
import { Fifo } from '../fifo.ts';
import { LSN_ZERO, type Lsn } from '../lsn.ts';
import { TransactionTicket } from './transaction-ticket.ts';

export class Ledger {
  private readonly open = new Fifo<TransactionTicket>();
  /** The ticket of the last transaction that began. */
  private newest: TransactionTicket | undefined;
  private readonly onAdvance: () => void;
  private current: Lsn = LSN_ZERO;
  private transactionEnd: Lsn = LSN_ZERO;

  /** `onAdvance` is called each time the watermark has moved. */
  constructor(onAdvance: () => void = () => undefined) {
    this.onAdvance = onAdvance;
  }

  /** Everything before this LSN is settled; 0/0 until something is. */
  get watermark(): Lsn {
    return this.current;
  }

  /** The watermark as transactions with events of ours moved it; at or below `watermark`. */
  get settledTransactions(): Lsn {
    return this.transactionEnd;
  }

  get openTransactions(): number {
    return this.open.length;
  }

  /** The oldest transaction that is not settled. */
  get oldestOpen(): TransactionTicket | undefined {
    return this.open.peek();
  }

  /** Opens the ticket of a transaction; the arguments are those of BeginTransaction. */
  readonly begin = (commitLsn: Lsn, xid: number, committedAtMicros: bigint): TransactionTicket => {
    const ticket = new TransactionTicket(this.advance, commitLsn, xid, committedAtMicros);
    this.open.push(ticket);
    this.newest = ticket;
    return ticket;
  };

  /** The transaction that began last ends here. */
  commit(endLsn: Lsn): void {
    this.newest?.close(endLsn);
  }

  keepalive(serverEnd: Lsn): void {
    if (this.open.length > 0 || serverEnd <= this.current) return;
    this.current = serverEnd;
    this.onAdvance();
  }

  private readonly advance = (): void => {
    const before = this.current;
    for (let head = this.open.peek(); head?.isSettled === true; head = this.open.peek()) {
      this.open.shift();
      if (head.endLsn !== null && head.endLsn > this.current) this.current = head.endLsn;
      if (head.carried) this.transactionEnd = this.current;
    }
    if (this.current > before) this.onAdvance();
  };
}
