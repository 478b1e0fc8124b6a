/**
 * Turns the moving watermark into confirmations: the cursor row is committed first, then the slot is told.
 *
 * That order is what makes a slot's history provable: a slot that was confirmed beyond the cursor row cannot be one
 * that walpost confirmed. A failure in between only means that events come again.
 */
import type { Clock, Timer } from '../clock.ts';
import { LSN_ZERO, type Lsn } from '../lsn.ts';
import { confirmDelay } from './confirm-policy.ts';
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
  private writing: Promise<void> | undefined;
  private confirmed: Lsn = LSN_ZERO;
  private confirmedAt = -Infinity;
  private closed = false;

  constructor(options: ConfirmerOptions) {
    this.options = options;
  }

  /** The watermark has moved. */
  readonly advanced = (): void => {
    if (this.closed || this.timer || this.writing) return;
    const { ledger, clock } = this.options;
    const { confirmed, confirmedAt } = this;
    const { watermark, settledTransactions } = ledger;
    const delay = confirmDelay({ watermark, settledTransactions, confirmed, confirmedAt, now: clock.now() });
    if (delay === undefined) return;
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
    const lsn = this.options.ledger.watermark;
    if (lsn <= this.confirmed) return;
    await this.options.writeCursor(lsn);
    if (this.closed) return;
    this.options.confirmSlot(lsn);
    this.confirmed = lsn;
    this.confirmedAt = this.options.clock.now();
  }
}
