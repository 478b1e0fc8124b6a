import { pause, type Clock } from '../clock.ts';
import { messageOf } from '../errors.ts';
import type { Event } from '../event.ts';
import type { Batch, Destination, Verdict, Verdicts } from '../pipeline.ts';
import { type CrashRecord, isCareful, suspectKey, suspectOf } from './crash-record.ts';

export interface CarefulPassageOptions {
  readonly record: Pick<CrashRecord, 'starts' | 'blamed' | 'note'>;
  readonly clock: Clock;
  /** It goes at full speed again. */
  readonly onOver: () => void;
}

/** So long at least; then until the cursor has moved. */
const AT_LEAST_MS = 30_000;
/** An event that ends the process does so soon. */
const SOON_MS = 2_000;

const BLAMED: Verdict = {
  kind: 'rejected',
  crash: true,
  reason: 'the process died, several times, while this event was with the sink',
};
const NOT_SENT: Verdict = { kind: 'unavailable', reason: 'not sent: an event before it was not delivered' };

/** The one way to all sinks after several starts without progress: one event at a time, noted before it leaves. */
export class CarefulPassage {
  private readonly options: CarefulPassageOptions;
  private readonly blamed: ReadonlySet<string>;
  private readonly begun: number;
  private narrow: boolean;
  private last: Promise<void> = Promise.resolve();
  private waiting = 0;

  constructor(options: CarefulPassageOptions) {
    const { record, clock } = options;
    this.options = options;
    this.blamed = new Set(record.blamed.map(suspectKey));
    this.begun = clock.now();
    this.narrow = isCareful(record.starts);
  }

  get isNarrow(): boolean {
    return this.narrow;
  }

  /** The same destination, reached through the passage. */
  to(destination: Destination): Destination {
    const deliver = (batch: Batch, signal: AbortSignal): Promise<Verdicts> => {
      const isPlain = !this.narrow && !batch.events.some((event) => this.isBlamed(destination, event));
      return isPlain ? destination.deliver(batch, signal) : this.oneByOne(destination, batch, signal);
    };
    return {
      name: destination.name,
      concurrency: destination.concurrency,
      get closedFor() {
        return destination.closedFor;
      },
      deliver,
    };
  }

  private async oneByOne(destination: Destination, batch: Batch, signal: AbortSignal): Promise<Verdicts> {
    const verdicts: Verdict[] = [];
    for (const event of batch.events) {
      if (this.isBlamed(destination, event)) {
        verdicts.push(BLAMED);
        continue;
      }
      const verdict = await this.alone(() => this.sendNoted(destination, { ...batch, events: [event] }, signal));
      verdicts.push(verdict);
      if (verdict.kind === 'failed' || verdict.kind === 'unavailable') break;
    }
    while (verdicts.length < batch.events.length) verdicts.push(NOT_SENT);
    return verdicts;
  }

  /** Waits until nobody else is in the passage. */
  private alone(send: () => Promise<Verdict>): Promise<Verdict> {
    this.waiting += 1;
    const sent = this.last.then(send).finally(() => {
      this.waiting -= 1;
    });
    this.last = sent.then(
      () => undefined,
      () => undefined,
    );
    return sent;
  }

  private async sendNoted(destination: Destination, batch: Batch, signal: AbortSignal): Promise<Verdict> {
    const [event] = batch.events;
    if (!event || signal.aborted) return NOT_SENT;
    const { record, clock } = this.options;
    const suspect = suspectOf(destination.name, event);
    const left = new AbortController();
    try {
      const progressed = await record.note(suspect);
      if (this.narrow && progressed && clock.now() - this.begun >= AT_LEAST_MS) this.widen();
      void pause(clock, SOON_MS, left.signal).then(
        () => left.signal.aborted || record.note(suspect, true).catch(() => undefined),
      );
      const verdicts = await destination.deliver(batch, signal);
      return Array.isArray(verdicts) ? ((verdicts as readonly Verdict[])[0] ?? NOT_SENT) : (verdicts as Verdict);
    } catch (error) {
      return { kind: 'unavailable', reason: `not sent: ${messageOf(error)}` };
    } finally {
      left.abort();
      if (this.waiting <= 1) await record.note(null).catch(() => undefined);
    }
  }

  private widen(): void {
    this.narrow = false;
    this.options.onOver();
  }

  private isBlamed(destination: Destination, event: Event): boolean {
    return this.blamed.size > 0 && this.blamed.has(suspectKey(suspectOf(destination.name, event)));
  }
}
