import type { Origin } from '../event.ts';

/** The origin of the events of one page of a scan, and what settles with them: the page, which nothing else counts. */
export class PageTicket implements Origin {
  readonly commitLsn = null;
  readonly xid = null;
  readonly committedAtMicros = null;
  readonly visible = true;
  readonly job: string;
  readonly receivedAt: number;
  /** Resolves once the page is complete and all of it is settled. */
  readonly settled: Promise<void>;
  private unsettled = 0;
  private complete = false;
  private finish: () => void = () => undefined;

  constructor(job: string, receivedAt: number) {
    this.job = job;
    this.receivedAt = receivedAt;
    this.settled = new Promise((resolve) => {
      this.finish = resolve;
    });
  }

  get isSettled(): boolean {
    return this.complete && this.unsettled === 0;
  }

  expect(count: number): void {
    this.unsettled += count;
  }

  settle(): void {
    this.unsettled -= 1;
    if (this.unsettled < 0) throw new Error('settled more often than expected');
    if (this.isSettled) this.finish();
  }

  /** The last of its events has been handed on. */
  close(): void {
    this.complete = true;
    if (this.isSettled) this.finish();
  }
}
