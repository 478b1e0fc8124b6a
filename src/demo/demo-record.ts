import { EventEmitter } from 'node:events';
import type { Arrival, WrittenEvent } from './audit.ts';
import { LatencyHistogram } from './latency-histogram.ts';

export interface OrganizationCounts {
  readonly organizationId: string;
  committed: number;
  /** Arrivals, including duplicates. */
  arrived: number;
}

/** Live figures cover only the last seconds. */
const RECENT_SECONDS = 5;

/** What the writers committed and the receiver got, for the audit and the view. Emits `arrival` after each batch. */
export class DemoRecord extends EventEmitter<{ arrival: [] }> {
  readonly written: WrittenEvent[] = [];
  readonly arrivals: Arrival[] = [];
  readonly organizations: readonly OrganizationCounts[];
  readonly latencies = new LatencyHistogram();
  committed = 0;
  /** Committed events that arrived, each counted once. */
  delivered = 0;
  rolledBack = 0;
  batches = 0;
  /** Requests that the receiver refused: no signature, or a wrong one. */
  refused = 0;
  private readonly outstanding = new Set<string>();
  /** Arrived before COMMIT had returned to the writer, or never committed. */
  private readonly early = new Set<string>();
  private readonly byId: ReadonlyMap<string, OrganizationCounts>;
  private readonly recent: { second: number; histogram: LatencyHistogram }[] = [];

  constructor(organizationIds: readonly string[]) {
    super();
    this.organizations = organizationIds.map((organizationId) => ({ organizationId, committed: 0, arrived: 0 }));
    this.byId = new Map(this.organizations.map((counts) => [counts.organizationId, counts]));
  }

  wrote(events: readonly WrittenEvent[]): void {
    for (const event of events) {
      this.written.push(event);
      if (!event.committed) {
        this.rolledBack += 1;
        continue;
      }
      this.committed += 1;
      if (this.early.delete(event.eventId)) this.delivered += 1;
      else this.outstanding.add(event.eventId);
      const counts = this.byId.get(event.organizationId);
      if (counts) counts.committed += 1;
    }
  }

  received(batch: readonly Arrival[], latenciesMs: readonly number[], nowMs: number): void {
    this.batches += 1;
    const recent = this.recentAt(nowMs);
    for (const latency of latenciesMs) {
      recent.record(latency);
      this.latencies.record(latency);
    }
    for (const arrival of batch) {
      this.arrivals.push(arrival);
      if (this.outstanding.delete(arrival.eventId)) this.delivered += 1;
      else this.early.add(arrival.eventId);
      const counts = this.byId.get(arrival.organizationId);
      if (counts) counts.arrived += 1;
    }
    this.emit('arrival');
  }

  recentLatencies(nowMs: number): LatencyHistogram {
    this.forgetBefore(nowMs);
    const sum = new LatencyHistogram();
    for (const { histogram } of this.recent) sum.add(histogram);
    return sum;
  }

  private recentAt(nowMs: number): LatencyHistogram {
    const second = Math.floor(nowMs / 1000);
    const last = this.recent.at(-1);
    if (last?.second === second) return last.histogram;
    this.forgetBefore(nowMs);
    const histogram = new LatencyHistogram();
    this.recent.push({ second, histogram });
    return histogram;
  }

  private forgetBefore(nowMs: number): void {
    const oldest = Math.floor(nowMs / 1000) - RECENT_SECONDS;
    while ((this.recent[0]?.second ?? Infinity) < oldest) this.recent.shift();
  }
}
