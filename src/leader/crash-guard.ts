import { pause, type Clock } from '../clock.ts';
import { WalpostError } from '../errors.ts';
import type { Event } from '../event.ts';
import type { Batch, Destination, Verdict, Verdicts } from '../pipeline.ts';
import { rerouted } from './rerouted.ts';
import { type CrashRecord, isCareful, suspectKey, suspectOf } from './crash-record.ts';

export interface CrashGuardOptions {
  readonly record: Pick<CrashRecord, 'starts' | 'blamed' | 'note'>;
  readonly clock: Clock;
  /** The guard has ended: events go at full speed again. */
  readonly onFullSpeed: () => void;
}

/** Minimum time for which events go one by one; after it they do so until the cursor has moved. */
const MINIMUM_SERIAL_MS = 30_000;
/** An event that ends the process does so within this time. */
const CRASHES_WITHIN_MS = 2_000;

const BLAMED: Verdict = {
  kind: 'rejected',
  crash: true,
  reason: 'the process died, several times, while this event was with the sink',
};
const NOT_SENT: Verdict = { kind: 'unavailable', reason: 'not sent: an event before it was not delivered' };

/**
 * Guards all sinks after several starts without progress: one event at a time leaves the process, and each is recorded
 * before it does. crash-record.ts says how an event is blamed.
 */
export class CrashGuard {
  private readonly options: CrashGuardOptions;
  private readonly blamed: ReadonlySet<string>;
  private readonly begun: number;
  private serial: boolean;
  private last: Promise<void> = Promise.resolve();
  private waiting = 0;

  constructor(options: CrashGuardOptions) {
    const { record, clock } = options;
    this.options = options;
    this.blamed = new Set(record.blamed.map(suspectKey));
    this.begun = clock.now();
    this.serial = isCareful(record.starts);
  }

  get isSerial(): boolean {
    return this.serial;
  }

  /** Some batches go event by event: all of them at first, and those that began so to their end. */
  private get holdsBatches(): boolean {
    return this.serial || this.waiting > 0;
  }

  /** The same destination behind this guard. */
  guard(destination: Destination): Destination {
    const deliver = (batch: Batch, signal: AbortSignal): Promise<Verdicts> => {
      const isPlain = !this.serial && !batch.events.some((event) => this.isBlamed(destination, event));
      return isPlain ? destination.deliver(batch, signal) : this.oneByOne(destination, batch, signal);
    };
    return rerouted(destination, { deliver, isSerial: () => this.holdsBatches });
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

  /** Runs after all that was asked for before has ended, whatever the destination. */
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
      if (this.serial && progressed && clock.now() - this.begun >= MINIMUM_SERIAL_MS) this.resumeFullSpeed();
      void pause(clock, CRASHES_WITHIN_MS, left.signal).then(
        () => left.signal.aborted || record.note(suspect, true).catch(() => undefined),
      );
      const verdicts = await destination.deliver(batch, signal);
      return Array.isArray(verdicts) ? ((verdicts as readonly Verdict[])[0] ?? NOT_SENT) : (verdicts as Verdict);
    } catch (error) {
      const code = error instanceof WalpostError ? error.code : 'UNEXPECTED';
      return { kind: 'unavailable', reason: `not sent: the event could not be noted before (${code})` };
    } finally {
      left.abort();
      if (this.waiting <= 1) await record.note(null).catch(() => undefined);
    }
  }

  private resumeFullSpeed(): void {
    this.serial = false;
    this.options.onFullSpeed();
  }

  private isBlamed(destination: Destination, event: Event): boolean {
    return this.blamed.size > 0 && this.blamed.has(suspectKey(suspectOf(destination.name, event)));
  }
}
