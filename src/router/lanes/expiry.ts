/**
 * What is not to be sent any more: an event whose own `expires_at` has passed, and for a sink with `max_age` one that is too old.
 *
 * The age counts from `created_at`: it is part of the row, so a first delivery, a retry, a parked event, a heal and a replay all
 * come to the same answer. A commit time is known for events of the stream alone. It stands in where a table has no
 * `created_at`; where there is neither, the age counts from when walpost received the event.
 */
import type { Clock } from '../../clock.ts';
import type { Event } from '../../event.ts';
import { unixMs } from '../../pg-time.ts';

export interface SortedByAge {
  readonly due: readonly Event[];
  readonly expired: readonly Event[];
}

export class Expiry {
  /** Milliseconds; undefined: only the events themselves say when they expire. */
  private readonly maxAge: number | undefined;
  private readonly clock: Clock;

  constructor(maxAge: number | undefined, clock: Clock) {
    this.maxAge = maxAge;
    this.clock = clock;
  }

  /** Why an event is given up that is expired. */
  reasonFor(event: Event): string {
    if (this.maxAge === undefined || this.hasPassed(event)) return 'its expires_at has passed';
    return `older than max_age, which is ${this.maxAge / 1000} s`;
  }

  isExpired(event: Event): boolean {
    return this.hasPassed(event) || this.isTooOld(event);
  }

  /** Nearly always false, and asked for each batch: so it makes nothing. */
  hasExpired(events: readonly Event[]): boolean {
    for (const event of events) if (this.isExpired(event)) return true;
    return false;
  }

  sort(events: readonly Event[]): SortedByAge {
    const isExpired = (event: Event): boolean => this.isExpired(event);
    return { due: events.filter((event) => !isExpired(event)), expired: events.filter(isExpired) };
  }

  private hasPassed({ expiresAt }: Event): boolean {
    return expiresAt !== null && Date.parse(expiresAt) <= this.clock.wallTime();
  }

  private isTooOld(event: Event): boolean {
    return this.maxAge !== undefined && this.bornAt(event) < this.clock.wallTime() - this.maxAge;
  }

  /** Milliseconds since the Unix epoch. */
  private bornAt({ createdAt, origin }: Event): number {
    if (createdAt !== null) return Date.parse(createdAt);
    if (origin.committedAtMicros !== null) return unixMs(origin.committedAtMicros);
    return this.clock.wallTime() - (this.clock.now() - origin.receivedAt);
  }
}
