/**
 * Takes dead letters in and calls back when they are durable.
 *
 * Letters gather while a write is under way and go together in the next one. A write that fails is tried again for as
 * long as the office is open: until then the letters count as unsettled, so the slot waits for them and nothing is lost.
 */
import { pause, type Clock } from '../clock.ts';
import { WalpostError, messageOf } from '../errors.ts';
import type { DeadLetter, DeadLetterOffice as Office } from '../pipeline.ts';

export interface DeadLetterOfficeOptions {
  /** Commits the letters; storing one a second time has no effect. */
  readonly write: (letters: readonly DeadLetter[]) => Promise<void>;
  readonly clock: Clock;
  /** A write failed and will be tried again. */
  readonly onStall: (message: string, letters: number) => void;
  /** Writing is of no use any more: this process is not the leader. */
  readonly onLost: (error: WalpostError) => void;
}

interface Waiting {
  readonly letter: DeadLetter;
  readonly stored: () => void;
}

const CHUNK = 500;
const FIRST_WAIT = 250;
const LONGEST_WAIT = 10_000;

export class DeadLetterOffice implements Office {
  private readonly options: DeadLetterOfficeOptions;
  private readonly closing = new AbortController();
  private waiting: Waiting[] = [];
  private writing = false;

  constructor(options: DeadLetterOfficeOptions) {
    this.options = options;
  }

  store(letter: DeadLetter, stored: () => void): void {
    this.waiting.push({ letter, stored });
    if (!this.writing) void this.writeAll();
  }

  close(): void {
    this.closing.abort();
  }

  private async writeAll(): Promise<void> {
    this.writing = true;
    let wait = FIRST_WAIT;
    while (this.waiting.length > 0 && !this.closing.signal.aborted) {
      const chunk = this.waiting.slice(0, CHUNK);
      try {
        await this.options.write(chunk.map(({ letter }) => letter));
      } catch (error) {
        if (error instanceof WalpostError && error.code === 'LEADERSHIP_LOST') {
          this.close();
          this.options.onLost(error);
          return;
        }
        this.options.onStall(messageOf(error), this.waiting.length);
        await pause(this.options.clock, wait, this.closing.signal);
        wait = Math.min(LONGEST_WAIT, wait * 2);
        continue;
      }
      wait = FIRST_WAIT;
      this.waiting.splice(0, chunk.length);
      for (const { stored } of chunk) stored();
    }
    this.writing = false;
  }
}
