/**
 * The accounts of one sink. Two things are counted, each in one place: what an event holds of the memory budget, and what
 * its origin still has to settle.
 *
 *                          memory                     origin
 *   the router takes in    takes, once for all lanes  expects one more for each lane
 *   delivered              gives back                 settles, unless it was read from Postgres
 *   parked                 gives back                 settles
 *   read from Postgres     takes                      -: it settled when it was parked
 *   released               gives back                 -: it stays in Postgres
 *   dropped                gives back                 settles, unless it was read from Postgres
 *   dead-lettered          gives back once durable    settles once durable, unless it was read from Postgres
 */
import type { Event } from '../../event.ts';
import { footprint, freedBy, type MemoryBudget } from '../memory-budget.ts';
import type { RouterWatcher } from '../router-options.ts';
import type { DeadLetterWriter, Rejection } from './dead-letters.ts';

export interface SinkAccounts {
  delivered(events: readonly Event[]): void;
  parked(events: readonly Event[]): void;
  /** At least half of the memory is free. */
  readonly isHalfFree: boolean;
  /** Room in memory for a batch that is to be read, with the function that gives it back; undefined when there is none. */
  reserve(): (() => void) | undefined;
  read(events: readonly Event[]): void;
  /** The lane has ended, so they are for nobody any more. */
  dropped(events: readonly Event[]): void;
  /** Events that were read leave memory; their rows stay. */
  released(events: readonly Event[]): void;
  /** Calls back once the event is a durable dead letter. */
  deadLettered(event: Event, rejection: Rejection, stored: () => void): void;
}

export interface RouterAccountsOptions {
  readonly sink: string;
  readonly budget: MemoryBudget;
  readonly deadLetterWriter: DeadLetterWriter;
  readonly watcher: RouterWatcher;
  /** The most bytes of one batch. */
  readonly maxBytes: number;
  /** Nothing is left to do. */
  readonly onIdle: () => void;
}

export class RouterAccounts implements SinkAccounts {
  private readonly options: RouterAccountsOptions;

  constructor(options: RouterAccountsOptions) {
    this.options = options;
  }

  delivered(events: readonly Event[]): void {
    const { watcher, sink } = this.options;
    this.settle(events);
    watcher.delivered(sink, events.length, events[0] as Event);
  }

  parked(events: readonly Event[]): void {
    const { watcher, sink, onIdle } = this.options;
    this.settle(events);
    watcher.parked(sink, events.length);
    onIdle();
  }

  get isHalfFree(): boolean {
    return this.options.budget.isHalfFree;
  }

  reserve(): (() => void) | undefined {
    return this.options.budget.reserve(2 * this.options.maxBytes);
  }

  read(events: readonly Event[]): void {
    this.options.budget.take(bytesOf(events));
  }

  dropped(events: readonly Event[]): void {
    this.settle(events);
  }

  released(events: readonly Event[]): void {
    this.letGo(events);
  }

  deadLettered(event: Event, rejection: Rejection, stored: () => void): void {
    this.options.deadLetterWriter.rejected(event, rejection, () => {
      this.settle([event]);
      stored();
    });
  }

  private settle(events: readonly Event[]): void {
    for (const event of events) if (event.parkedId === null) event.origin.settle();
    this.letGo(events);
  }

  private letGo(events: readonly Event[]): void {
    let bytes = 0;
    for (const event of events) bytes += freedBy(event);
    this.options.budget.give(bytes);
  }
}

function bytesOf(events: readonly Event[]): number {
  let bytes = 0;
  for (const event of events) bytes += footprint(event);
  return bytes;
}
