import { type Clock, pause } from '../clock.ts';
import { messageOf } from '../errors.ts';

export interface OperatorWatchOptions {
  readonly clock: Clock;
  /** Reads what operators have changed. */
  readonly check: () => Promise<void>;
  readonly onError: (message: string) => void;
}

/** Two checks are at least that far apart, however many notifications arrive. */
const BETWEEN_CHECKS_MS = 500;
const AFTER_ERROR_MS = 10_000;
/** A check comes without a notification too, in case one was lost. */
const CHECK_ANYWAY_MS = 15_000;

/** Checks at each notification. Checks never overlap; a notification during one, or soon after it, leads to one more. */
export class OperatorWatch implements AsyncDisposable {
  private readonly options: OperatorWatchOptions;
  private readonly closing = new AbortController();
  private notified = new AbortController();
  private readonly running: Promise<void>;

  constructor(options: OperatorWatchOptions) {
    this.options = options;
    this.running = this.run();
  }

  notify(): void {
    this.notified.abort();
  }

  get closed(): boolean {
    return this.closing.signal.aborted;
  }

  close(): void {
    this.closing.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.close();
    await this.running;
  }

  private async run(): Promise<void> {
    const { clock, check, onError } = this.options;
    const { signal } = this.closing;
    while (!signal.aborted) {
      await pause(clock, CHECK_ANYWAY_MS, AbortSignal.any([signal, this.notified.signal]));
      if (signal.aborted) return;
      this.notified = new AbortController();
      try {
        await check();
      } catch (error) {
        if (signal.aborted) return;
        onError(messageOf(error));
        this.notify();
        await pause(clock, AFTER_ERROR_MS, signal);
      }
      await pause(clock, BETWEEN_CHECKS_MS, signal);
    }
  }
}
