import type { Event } from '../../src/event.ts';
import type { Lsn } from '../../src/lsn.ts';
import type { LaneName, PageLimits, ParkedLane, ParkedPage, ParkingLot } from '../../src/pipeline.ts';

interface Row {
  readonly id: number;
  readonly place: number;
  readonly sink: string;
  readonly lane: string;
  readonly event: Event;
}

/** The table of parked events in memory, with the order and the idempotency of the real one, and faults on demand. */
export class MemoryLot implements ParkingLot {
  /** Inserts and removals wait while set. */
  stalled = false;
  mostRowsRead = 0;
  /** What the connection has received: events of jobs take their place behind it. */
  received: Lsn = 0n;
  private readonly byLane = new Map<string, Row[]>();
  private waiting: (() => void)[] = [];
  private ids = 0;

  get rows(): Row[] {
    return [...this.byLane.values()].flat();
  }

  /** A test may name the sink alone. */
  park(to: LaneName | string, events: readonly Event[], stored: () => void): void {
    const { sink, lane } = typeof to === 'string' ? { sink: to, lane: '' } : to;
    this.later(() => {
      for (const event of events) {
        const rows = this.laneOf({ sink, organizationId: event.organizationId, lane });
        if (!rows.some((row) => row.event.eventId === event.eventId)) {
          rows.push({ id: ++this.ids, sink, lane, event, place: this.placeOf(event) });
        }
        rows.sort((a, b) => a.place - b.place);
      }
      stored();
    });
  }

  async read(lane: LaneName, after: string | null, limits: PageLimits): Promise<ParkedPage> {
    await Promise.resolve();
    const rows = this.page(this.laneOf(lane), after === null ? -Infinity : Number(after), limits);
    this.mostRowsRead = Math.max(this.mostRowsRead, rows.length);
    const last = rows.at(-1);
    return {
      events: rows.map((row) => ({
        ...row.event,
        parkedId: String(row.id),
        origin: { ...row.event.origin },
        otherHolders: 0,
      })),
      last: last ? String(last.place) : null,
    };
  }

  remove(events: readonly Event[], removed: () => void): void {
    this.later(() => {
      const ids = new Set(events.map((event) => event.parkedId));
      for (const [key, rows] of this.byLane) {
        if (rows.some((row) => ids.has(String(row.id)))) {
          this.byLane.set(
            key,
            rows.filter((row) => !ids.has(String(row.id))),
          );
          break; // events of one removal are of one lane
        }
      }
      removed();
    });
  }

  discard(lane: LaneName, upTo: Lsn, discarded: () => void): void {
    this.later(() => {
      const kept = this.laneOf(lane).filter(({ event }) => event.origin.commitLsn === null && this.received > upTo);
      this.byLane.set(keyOf(lane), kept);
      discarded();
    });
  }

  /** As of a cursor at `settled`; when it is left out, as if all that stands before the rows were settled. */
  lanes(settled: Lsn | null = null): ParkedLane[] {
    return [...this.byLane.values()].flatMap((rows) => {
      const last = rows.at(-1);
      if (!last) return [];
      const { sink, lane, event } = last;
      const { commitLsn } = event.origin;
      const isBehind = settled !== null && commitLsn !== null && commitLsn >= settled;
      return [{ sink, organizationId: event.organizationId, lane, redeliveredUntil: isBehind ? commitLsn : null }];
    });
  }

  release(): void {
    this.stalled = false;
    for (const run of this.waiting.splice(0)) run();
  }

  /** Of the first `maxEvents` rows behind `after`, those of other types, while they begin within `maxBytes`. */
  private page(rows: readonly Row[], after: number, limits: PageLimits): Row[] {
    const start = rows.findIndex((row) => row.place > after);
    const page: Row[] = [];
    let before = 0;
    for (const row of start < 0 ? [] : rows.slice(start, start + limits.maxEvents)) {
      if (limits.otherTypes?.includes(row.event.eventType) === true) continue;
      if (before >= limits.maxBytes) break;
      page.push(row);
      before += row.event.size;
    }
    return page;
  }

  private laneOf(lane: LaneName): Row[] {
    const key = keyOf(lane);
    let rows = this.byLane.get(key);
    if (!rows) this.byLane.set(key, (rows = []));
    return rows;
  }

  private placeOf({ origin, ordinal }: Event): number {
    if (origin.commitLsn !== null) return Number(origin.commitLsn) * 1000 + (ordinal ?? 0);
    return Number(this.received) * 1000 + 500 + this.ids / 1e6;
  }

  private later(run: () => void): void {
    if (this.stalled) this.waiting.push(run);
    else queueMicrotask(run);
  }
}

function keyOf({ sink, organizationId, lane }: LaneName): string {
  return `${sink} ${organizationId} ${lane}`;
}
