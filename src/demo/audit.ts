/**
 * The comparison at the end of the demo: what the writers committed against what the receiver got.
 *
 * The writers know the outcome of each event because COMMIT or ROLLBACK has returned. Each organization is written by one
 * writer that counts its events up, so the numbers of an organization say its commit order without asking the database.
 * Gaps are rolled back events. A repetition of an event is a duplicate, which at-least-once allows; the order is that of
 * the first deliveries.
 */

export interface WrittenEvent {
  readonly eventId: string;
  readonly eventType: string;
  readonly organizationId: string;
  /** Counts up within the organization, in the order of commits. */
  readonly number: number;
  readonly committed: boolean;
}

export interface Arrival {
  readonly eventId: string;
  readonly organizationId: string;
  readonly number: number;
}

export interface Audit {
  readonly committed: number;
  readonly rolledBack: number;
  /** Committed events that arrived, each counted once. */
  readonly delivered: number;
  readonly missing: number;
  readonly duplicates: number;
  readonly outOfOrder: number;
  readonly rolledBackDelivered: number;
  /** Arrived, but written by nobody, or with another organization or number than it was written with. */
  readonly unexpected: number;
}

export function audit(written: Iterable<WrittenEvent>, arrivals: Iterable<Arrival>): Audit {
  const known = new Map<string, WrittenEvent>();
  let committed = 0;
  for (const event of written) {
    known.set(event.eventId, event);
    if (event.committed) committed += 1;
  }
  const counts = countArrivals(known, arrivals);
  return { ...counts, committed, rolledBack: known.size - committed, missing: committed - counts.delivered };
}

function countArrivals(known: ReadonlyMap<string, WrittenEvent>, arrivals: Iterable<Arrival>) {
  const counts = { delivered: 0, duplicates: 0, outOfOrder: 0, rolledBackDelivered: 0, unexpected: 0 };
  const seen = new Set<string>();
  const highest = new Map<string, number>();
  for (const arrival of arrivals) {
    const event = known.get(arrival.eventId);
    if (event?.organizationId !== arrival.organizationId || event.number !== arrival.number) {
      counts.unexpected += 1;
    } else if (seen.has(event.eventId)) {
      counts.duplicates += 1;
    } else {
      seen.add(event.eventId);
      if (event.committed) counts.delivered += 1;
      else counts.rolledBackDelivered += 1;
      const last = highest.get(event.organizationId) ?? -Infinity;
      if (event.number < last) counts.outOfOrder += 1;
      else highest.set(event.organizationId, event.number);
    }
  }
  return counts;
}

/** Duplicates are allowed; nothing else that the audit counts is. */
export function isClean(result: Audit): boolean {
  return result.missing === 0 && result.outOfOrder === 0 && result.rolledBackDelivered === 0 && result.unexpected === 0;
}
