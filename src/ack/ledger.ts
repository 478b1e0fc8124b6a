/**
 * The ledger of one connection: which transactions are open, and up to where everything is settled.
 *
 * A transaction is open from its Begin until its Commit was seen and every delivery and insert of its events has
 * settled. Transactions arrive in commit order, so the watermark is the end LSN of the last one before the oldest that
 * is open. A later transaction that settles first waits in the queue; it moves the watermark when its turn comes.
 *
 * With nothing open a keepalive moves the watermark too: the server sends everything before the keepalive's position
 * first, so all of it was foreign to us or is settled. While something is open a keepalive says nothing, because a
 * transaction's commit record lies before its end LSN and after its changes.
 *
 * The watermark belongs to the connection: a new connection starts a new ledger, because the server sends everything
 * unconfirmed again and an old position could be of another timeline.
 */
import type { Origin } from '../event.ts';
import { Fifo } from '../fifo.ts';
import { LSN_ZERO, type Lsn } from '../lsn.ts';
import type { Settlement } from '../pipeline.ts';

export class Ledger implements Settlement {
  private readonly open = new Fifo<Origin>();
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
  get oldestOpen(): Origin | undefined {
    return this.open.peek();
  }

  begin(origin: Origin): void {
    this.open.push(origin);
  }

  hold(origin: Origin, count: number): void {
    origin.unsettled += count;
    origin.carried = true;
  }

  settle(origin: Origin): void {
    origin.unsettled -= 1;
    if (origin.unsettled < 0) throw new Error('settled more often than held');
    if (origin.unsettled === 0 && origin.endLsn !== null) this.advance();
  }

  commit(origin: Origin, endLsn: Lsn): void {
    origin.endLsn = endLsn;
    if (origin.unsettled === 0) this.advance();
  }

  keepalive(serverEnd: Lsn): void {
    if (this.open.length > 0 || serverEnd <= this.current) return;
    this.current = serverEnd;
    this.onAdvance();
  }

  private advance(): void {
    const before = this.current;
    for (let head = this.open.peek(); head !== undefined; head = this.open.peek()) {
      if (head.endLsn === null || head.unsettled > 0) break;
      this.open.shift();
      if (head.endLsn > this.current) this.current = head.endLsn;
      if (head.carried) this.transactionEnd = this.current;
    }
    if (this.current > before) this.onAdvance();
  }
}
