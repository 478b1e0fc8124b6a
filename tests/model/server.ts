/** The server of the model: its log of transactions, what the slot has confirmed, and what snapshots see. */
import assert from 'node:assert/strict';
import type { Lsn } from '../../src/lsn.ts';
import type { PlannedEvent } from './commands.ts';

export interface ModelEvent extends PlannedEvent {
  readonly id: string;
}

export interface Transaction {
  readonly xid: number;
  readonly commitLsn: Lsn;
  readonly endLsn: Lsn;
  readonly events: readonly ModelEvent[];
  readonly visibleAt: number;
}

const RECORD_BYTES = 8n;

export class ModelServer {
  readonly log: Transaction[] = [];
  /** End of the WAL. */
  end: Lsn = 1000n;
  confirmed: Lsn = 1000n;
  private events = 0;

  commit(events: readonly PlannedEvent[], given: { gap: number; visibleAt: number }): Transaction {
    const commitLsn = this.end + BigInt(given.gap);
    this.end = commitLsn + RECORD_BYTES;
    const transaction = {
      xid: this.log.length + 1,
      commitLsn,
      endLsn: this.end,
      events: events.map((event) => ({ ...event, id: String(++this.events) })),
      visibleAt: given.visibleAt,
    };
    this.log.push(transaction);
    return transaction;
  }

  /** Where a new connection begins: a commit record that starts before the confirmed position is never sent again. */
  get resumeIndex(): number {
    const index = this.log.findIndex(({ commitLsn }) => commitLsn >= this.confirmed);
    return index < 0 ? this.log.length : index;
  }

  sees(xid: number, now: number): boolean {
    return (this.log[xid - 1]?.visibleAt ?? Infinity) <= now;
  }

  confirm(lsn: Lsn): void {
    assert.ok(lsn >= this.confirmed, 'the slot is told an older position');
    assert.ok(lsn <= this.end, 'the slot is told more than there is');
    this.confirmed = lsn;
  }
}
