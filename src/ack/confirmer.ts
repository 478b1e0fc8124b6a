/**
 * Turns the moving watermark into confirmations: the cursor row is committed first, then the slot is told.
 *
 * That order makes the history of a slot provable: a slot that is confirmed beyond the cursor row was not confirmed by
 * walpost. A failure between the two only means that events come again.
 */
import type { Clock, Timer } from '../clock.ts';
import { LSN_ZERO, type Lsn } from '../lsn.ts';
import { CONFIRM_INTERVAL_MS, confirmDelay, isWorthIt } from './confirm-policy.ts';
import type { Ledger } from './ledger.ts';

export interface ConfirmerOptions {
  readonly ledger: Ledger;
  readonly clock: Clock;
  /** Commits the cursor row. */
  readonly writeCursor: (lsn: Lsn) => Promise<void>;
  /** Tells the slot. */
  readonly confirmSlot: (lsn: Lsn) => void;
  /** The cursor could not be written: this connection cannot go on. */
  readonly onError: (error: unknown) => void;
}

export class Confirmer {
  private readonly options: ConfirmerOptions;
  private timer: Timer | undefined;
  /** The timer is set for the earliest moment at which a confirmation is allowed. */
  private isSoon = false;
  private writing: Promise<void> | undefined;
  private confirmed: Lsn = LSN_ZERO;
  private confirmedAt = -Infinity;
  private followUps = 0;
  private closed = false;

  constructor(options: ConfirmerOptions) {
    this.options = options;
  }

  /** The watermark has moved. */
  readonly advanced = (): void => {
    if (this.closed || this.writing || (this.timer && this.isSoon)) return;
    const { ledger, clock } = this.options;
    const { confirmed, confirmedAt, followUps } = this;
    const { watermark, settledTransactions } = ledger;
    const delay = confirmDelay({
      watermark,
      settledTransactions,
      confirmed,
      confirmedAt,
      followUps,
      now: clock.now(),
    });
    if (delay === undefined) return;
    this.timer?.cancel(); // it may be set for a follow-up (confirm-policy.ts), which is later
    this.isSoon = delay <= CONFIRM_INTERVAL_MS;
    this.timer = clock.schedule(delay, () => {
      this.timer = undefined;
      this.confirm().then(this.advanced, this.options.onError);
    });
  };

  /** Confirms the watermark now, whatever the policy says; for a graceful stop. */
  async flush(): Promise<void> {
    this.timer?.cancel();
    this.timer = undefined;
    await this.writing;
    await this.confirm();
  }

  close(): void {
    this.closed = true;
    this.timer?.cancel();
    this.timer = undefined;
  }

  private confirm(): Promise<void> {
    this.writing = this.write().finally(() => {
      this.writing = undefined;
    });
    return this.writing;
  }

  private async write(): Promise<void> {
    const { watermark: lsn, settledTransactions } = this.options.ledger;
    const { confirmed } = this;
    if (lsn <= confirmed) return;
    await this.options.writeCursor(lsn);
    if (this.closed) return;
    this.options.confirmSlot(lsn);
    this.followUps = isWorthIt({ watermark: lsn, settledTransactions, confirmed }) ? 0 : this.followUps + 1;
    this.confirmed = lsn;
    this.confirmedAt = this.options.clock.now();
  }
}
