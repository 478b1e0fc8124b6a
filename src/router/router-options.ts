import type { Config } from '../config/schema.ts';
import type { Clock } from '../clock.ts';
import type { Event } from '../event.ts';
import type { DeadLetter, DeadLetterOffice, Destination, ParkingLot } from '../pipeline.ts';
import type { Refusal } from './lanes/refusal.ts';

/** What the router reports while it works; called once a batch. */
export interface RouterWatcher {
  delivered(sink: string, count: number, oldest: Event): void;
  parked(sink: string, count: number): void;
  deadLettered(letter: DeadLetter): void;
  /** No route matched an event, and `unrouted: drop` keeps nothing of it. */
  dropped(): void;
  /** A lane's destination refuses everything that it is sent; and accepts again, or is known to accept others. */
  refusing(refusal: Refusal): void;
  /** isAccepted: the destination has accepted something; otherwise the event that it refused first has left the lane. */
  refusingOver(refusal: Refusal, isAccepted: boolean): void;
  /** Milliseconds from the opening of a window to the departure of its batch. */
  windowWait(ms: number): void;
}

export interface RouterOptions {
  readonly config: Pick<Config, 'batching' | 'delivery' | 'routes' | 'memory' | 'sinks'>;
  readonly destinations: readonly Destination[];
  readonly deadLetters: DeadLetterOffice;
  readonly lot: ParkingLot;
  /** Of a table of the application: names of walpost are reserved there too, and no event of it is one of walpost itself. */
  readonly isMapped?: boolean;
  readonly clock: Clock;
  readonly watcher: RouterWatcher;
  /** Events want to leave whose transactions no snapshot has seen yet. */
  readonly askVisible: () => void;
  /** The memory budget is full, or has room again. */
  readonly onPressure: (full: boolean) => void;
  readonly random?: () => number;
  /** Aborted by the router when it meets a fault of its own: nothing may be confirmed after it. */
  readonly failure: Pick<AbortController, 'abort'>;
}
