/** What survives a crash in the model: parked rows, dead letters, the cursor row; and how statements reach them. */
import { setMaxListeners } from 'node:events';
import type { ManualClock } from '../support/manual-clock.ts';
import { MemoryLot } from '../router/memory-lot.ts';
import { pause } from '../../src/clock.ts';
import type { Event } from '../../src/event.ts';
import type { Lsn } from '../../src/lsn.ts';
import type { LaneName, PageLimits, ParkedPage, ParkingLot } from '../../src/pipeline.ts';

export class Durable {
  readonly parked = new MemoryLot();
  /** `sink event` of all that was given up. */
  readonly dead = new Set<string>();
  cursor: Lsn = 0n;
  writeMs = 0;
  readMs = 0;
  cursorMs = 0;
  cursorFails = false;
}

interface Statement {
  readonly run: (answered: boolean) => void;
}

/** One connection's way to the rows: writes one after the other, each as slow as the day has it; reads beside them. */
export class ModelLot implements ParkingLot {
  private readonly durable: Durable;
  private readonly clock: ManualClock;
  private readonly onRemove: (event: Event) => void;
  private readonly waiting: Statement[] = [];
  private isWriting = false;
  private readonly over = new AbortController();

  constructor(durable: Durable, clock: ManualClock, onRemove: (event: Event) => void) {
    this.durable = durable;
    this.clock = clock;
    this.onRemove = onRemove;
    setMaxListeners(0, this.over.signal);
  }

  park(lane: LaneName, events: readonly Event[], stored: () => void): void {
    this.write((answered) => this.durable.parked.park(lane, events, answered ? stored : () => undefined));
  }

  remove(events: readonly Event[], removed: () => void): void {
    this.write((answered) => {
      for (const event of events) this.onRemove(event);
      this.durable.parked.remove(events, answered ? removed : () => undefined);
    });
  }

  discard(lane: LaneName, upTo: Lsn, discarded: () => void): void {
    this.write((answered) => this.durable.parked.discard(lane, upTo, answered ? discarded : () => undefined));
  }

  bury(key: string, stored: () => void): void {
    this.write((answered) => {
      this.durable.dead.add(key);
      if (answered) stored();
    });
  }

  /** What it finds is as of the moment it began. */
  async read(lane: LaneName, after: string | null, limits: PageLimits): Promise<ParkedPage> {
    const page = await this.durable.parked.read(lane, after, limits);
    if (this.durable.readMs > 0) await pause(this.clock, this.durable.readMs, this.over.signal);
    return page;
  }

  /** The stall is over. */
  wake(): void {
    if (!this.isWriting) this.writeNext();
  }

  /** The connection is lost: what is under way reaches the rows or not; nobody is told either way. */
  lose(arrived: boolean): void {
    for (const { run } of this.waiting.splice(0, arrived ? 1 : 0)) run(false);
    this.waiting.length = 0;
    this.over.abort();
  }

  private write(run: Statement['run']): void {
    if (this.over.signal.aborted) return;
    this.waiting.push({ run });
    if (!this.isWriting) this.writeNext();
  }

  private writeNext(): void {
    this.isWriting = this.waiting.length > 0 && this.durable.writeMs !== Infinity;
    if (!this.isWriting) return;
    this.clock.schedule(this.durable.writeMs, () => {
      this.waiting.shift()?.run(true);
      this.writeNext();
    });
  }
}
