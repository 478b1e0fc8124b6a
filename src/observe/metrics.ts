import { Counter, Gauge, Registry } from 'prom-client';
import { REFUSALS, type MessageRefusal } from '../emit-key.ts';
import { VERSION } from '../version.ts';
import { Histogram, type HistogramOptions, type Series } from './histogram.ts';
import { LiveMetrics } from './live-metrics.ts';
import { StatusGauges } from './status-gauges.ts';
import type { DeadLetterReason } from '../pipeline.ts';
import { ProcessMetrics } from './process-metrics.ts';
import type { Readiness, StatusReport } from './status-report.ts';

export type RequestOutcome = 'delivered' | 'rejected' | 'failed' | 'unavailable' | 'timeout';

const LATENCY = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800];
const REQUEST = [0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
/** Counted from zero, so that the first one is an increase. */
const OF_A_SINK: readonly DeadLetterReason[] = ['rejected', 'failed', 'unavailable', 'crash'];
const OF_NO_SINK: readonly DeadLetterReason[] = ['poison', 'unrouted'];
const WINDOW = [0.001, 0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10, 60];

/** Things that one sink of one's own may count. */
const MOST_COUNTED = 20;

/**
 * Every number that /metrics serves. Base units; an organization is never a label, since there can be any number of
 * them. Counters and histograms are told once a batch; gauges are filled from the status when somebody asks.
 */
export class Metrics {
  readonly contentType: string;
  private readonly registry = new Registry();
  private readonly histograms: Histogram[] = [];
  readonly live = new LiveMetrics(this.registry);
  private readonly gauges: StatusGauges;
  private readonly countedBy = new Map<string, Set<string>>();
  private readonly process: ProcessMetrics;
  private status: (() => Promise<StatusReport>) | undefined;
  private readiness: (() => Readiness) | undefined;

  private readonly receivedTotal = this.counter('events_received_total', 'Events that came from the slot.');
  private readonly droppedTotal = this.counter(
    'events_dropped_total',
    'Events that no route matched, with unrouted: drop.',
  );
  private readonly unlogged = this.counter('delivery_log_dropped_total', 'Attempts left out of walpost.delivery_log.');
  private readonly refused = this.counter('messages_refused_total', 'Logical messages that are no events.', ['reason']);
  private readonly deliveredTotal = this.counter('events_delivered_total', 'Events that a sink accepted.', ['sink']);
  private readonly sinkCounts = this.counter('sink_counts_total', 'What a sink of your own counts.', ['sink', 'what']);
  private readonly parkedTotal = this.counter('events_parked_total', 'Events stored for a sink that was away.', [
    'sink',
  ]);
  private readonly dead = this.counter('events_dead_lettered_total', 'Events stored for a person.', ['sink', 'reason']);
  private readonly latency = this.histogram('commit_to_delivery_seconds', {
    help: 'From the commit of the oldest event of a batch to its delivery.',
    buckets: LATENCY,
  });
  private readonly receive = this.histogram('commit_to_receive_seconds', {
    help: 'From the commit of a transaction with events to its arrival; at most one a millisecond is measured.',
    buckets: LATENCY,
  }).of();
  private readonly visibility = this.histogram('visibility_wait_seconds', {
    help: 'From the question whether transactions can be seen to the snapshot that sees some of them.',
    buckets: WINDOW,
  }).of();
  private readonly choreFailures = this.counter('chore_failures_total', 'Runs of periodic work that failed.', [
    'chore',
  ]);
  private readonly window = this.histogram('window_wait_seconds', {
    help: 'From the first event of a window to its close.',
    buckets: WINDOW,
  }).of();
  private readonly requestSeconds = this.histogram('sink_request_seconds', {
    help: 'One attempt to deliver a batch.',
    buckets: REQUEST,
  });
  /** By sink, since somebody last asked: counted here, since it is told once a batch. */
  private readonly deliveredOf = new Map<string, number>();
  private readonly latencyOf = new Map<string, Series>();
  private readonly requestOf = new Map<string, Map<RequestOutcome, Series>>();

  /** @param sinks counted from zero, so that a rate has a beginning */
  constructor(sinks: readonly string[] = []) {
    this.contentType = this.registry.contentType;
    this.gauges = new StatusGauges(this.registry);
    this.process = new ProcessMetrics(this.registry);
    const info = {
      name: 'walpost_build_info',
      help: 'The versions of walpost and of Node, as labels.',
      labelNames: ['version', 'node_version'],
    };
    new Gauge({ ...info, registers: [this.registry] }).set({ version: VERSION, node_version: process.version }, 1);
    for (const reason of REFUSALS) this.refused.inc({ reason }, 0);
    for (const sink of sinks) {
      this.delivered(sink, 0);
      this.parked(sink, 0);
      for (const reason of OF_A_SINK) this.deadLettered(sink, reason, 0);
    }
    for (const reason of OF_NO_SINK) this.deadLettered(null, reason, 0);
  }

  /** Rows of walpost.delivery_log that were left out. */
  deliveryLogDropped(count: number): void {
    this.unlogged.inc(count);
  }

  received(count: number): void {
    this.receivedTotal.inc(count);
  }

  dropped(count: number): void {
    this.droppedTotal.inc(count);
  }

  messageRefused(reason: MessageRefusal): void {
    this.refused.inc({ reason });
  }

  delivered(sink: string, count: number): void {
    this.deliveredOf.set(sink, (this.deliveredOf.get(sink) ?? 0) + count);
  }

  parked(sink: string, count: number): void {
    this.parkedTotal.inc({ sink }, count);
  }

  /** @param sink null when the event never had one */
  deadLettered(sink: string | null, reason: string, count: number): void {
    this.dead.inc({ sink: sink ?? 'none', reason }, count);
  }

  commitToDelivery(sink: string, seconds: number): void {
    remember(this.latencyOf, sink, () => this.latency.of({ sink })).observe(Math.max(0, seconds));
  }

  /** A clock that is behind that of the server makes no negative time. */
  commitToReceive(seconds: number): void {
    this.receive.observe(Math.max(0, seconds));
  }

  visibilityWait(seconds: number): void {
    this.visibility.observe(seconds);
  }

  choreFailed(chore: string): void {
    this.choreFailures.inc({ chore });
  }

  windowWait(seconds: number): void {
    this.window.observe(seconds);
  }

  request(sink: string, outcome: RequestOutcome, seconds: number): void {
    const ofSink = remember(this.requestOf, sink, () => new Map<RequestOutcome, Series>());
    remember(ofSink, outcome, () => this.requestSeconds.of({ sink, outcome })).observe(seconds);
  }

  /** What a sink of its own counts; of more than 20 things the rest is `other`. */
  sinkCounted(sink: string, what: string, by: number): void {
    const known = remember(this.countedBy, sink, () => new Set<string>());
    const name = known.has(what) || known.size < MOST_COUNTED ? what : 'other';
    known.add(name);
    this.sinkCounts.inc({ sink, what: name }, by);
  }

  /** Gauges are filled from these when somebody asks for the metrics. The role is known even when the database does not answer. */
  collectFrom(status: () => Promise<StatusReport>, readiness?: () => Readiness): void {
    this.status = status;
    this.readiness = readiness;
  }

  /** Milliseconds that the event loop was late, at most, of late. */
  measureLoop(lag: () => number): void {
    this.process.loopLag = lag;
  }

  /** The text that Prometheus reads. A status that cannot be had leaves the gauges unknown, not stale. */
  async render(): Promise<string> {
    const report = await this.status?.().catch(() => undefined);
    this.gauges.fill(report, this.readiness?.().role ?? report?.leader.role);
    this.process.fill();
    for (const [sink, count] of this.deliveredOf) this.deliveredTotal.inc({ sink }, count);
    this.deliveredOf.clear();
    return [await this.registry.metrics(), ...this.histograms.map((histogram) => histogram.text())].join('\n');
  }

  private counter<L extends string>(name: string, help: string, labelNames: L[] = []): Counter<L> {
    return new Counter({ name: `walpost_${name}`, help, labelNames, registers: [this.registry] });
  }

  private histogram(name: string, options: Omit<HistogramOptions, 'name'>): Histogram {
    const histogram = new Histogram({ name: `walpost_${name}`, ...options });
    this.histograms.push(histogram);
    return histogram;
  }
}

function remember<K, T>(children: Map<K, T>, key: K, create: () => T): T {
  let child = children.get(key);
  if (child === undefined) children.set(key, (child = create()));
  return child;
}
