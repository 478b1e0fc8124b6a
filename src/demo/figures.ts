import type { DemoRecord, OrganizationCounts } from './demo-record.ts';

/** The figures that the views show, at one moment. */
export interface Figures {
  readonly title: string;
  readonly phase: 'writing' | 'delivering the rest';
  readonly elapsedMs: number;
  readonly durationMs: number;
  readonly committed: number;
  readonly delivered: number;
  readonly rolledBack: number;
  readonly batches: number;
  readonly committedPerSecond: number;
  readonly deliveredPerSecond: number;
  /** Commit to delivery over the last seconds; undefined while nothing arrived. */
  readonly p50: number | undefined;
  readonly p99: number | undefined;
  /** Oldest first, the newest last; undefined where it could not be read. */
  readonly lagHistory: readonly (number | undefined)[];
  readonly organizations: readonly OrganizationCounts[];
}

interface Sample {
  readonly at: number;
  readonly committed: number;
  readonly delivered: number;
}

const RATE_OVER_MS = 2000;
const LAG_HISTORY = 30;

/** Turns the record into figures: rates over the last two seconds, latencies over the last five. */
export class FiguresMeter {
  phase: Figures['phase'] = 'writing';
  private readonly record: DemoRecord;
  private readonly title: string;
  private readonly durationMs: number;
  private readonly startedAt: number;
  private readonly samples: Sample[] = [];
  private readonly lagHistory: (number | undefined)[] = [];

  constructor(record: DemoRecord, options: { title: string; durationMs: number; startedAt: number }) {
    this.record = record;
    this.title = options.title;
    this.durationMs = options.durationMs;
    this.startedAt = options.startedAt;
  }

  read(now: number, wallTime: number, lagBytes: number | undefined): Figures {
    const { committed, delivered, rolledBack, batches, organizations } = this.record;
    this.lagHistory.push(lagBytes);
    if (this.lagHistory.length > LAG_HISTORY) this.lagHistory.shift();
    const rates = this.rates({ at: now, committed, delivered });
    const latencies = this.record.recentLatencies(wallTime);
    return {
      title: this.title,
      phase: this.phase,
      elapsedMs: now - this.startedAt,
      durationMs: this.durationMs,
      committed,
      delivered,
      rolledBack,
      batches,
      ...rates,
      p50: latencies.quantile(0.5),
      p99: latencies.quantile(0.99),
      lagHistory: [...this.lagHistory],
      organizations,
    };
  }

  private rates(now: Sample): Pick<Figures, 'committedPerSecond' | 'deliveredPerSecond'> {
    this.samples.push(now);
    while ((this.samples[1]?.at ?? Infinity) <= now.at - RATE_OVER_MS) this.samples.shift();
    const first = this.samples[0] ?? now;
    const seconds = (now.at - first.at) / 1000;
    const rate = (count: number): number => (seconds > 0 ? count / seconds : 0);
    return {
      committedPerSecond: rate(now.committed - first.committed),
      deliveredPerSecond: rate(now.delivered - first.delivered),
    };
  }
}
