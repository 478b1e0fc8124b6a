import { Counter, Gauge, type Registry } from 'prom-client';

/** The numbers of the live channel. An organization is never a label. */
export class LiveMetrics {
  private readonly connections: Gauge;
  private readonly sent: Counter;
  private readonly ended: Counter<'reason'>;
  private readonly resumed: Counter<'way'>;

  constructor(registry: Registry) {
    const registers = [registry];
    this.connections = new Gauge({
      name: 'walpost_live_connections',
      help: 'Open streams of the live channel.',
      registers,
    });
    this.sent = new Counter({
      name: 'walpost_live_sent_total',
      help: 'Messages written to streams as they came.',
      registers,
    });
    const ended = { name: 'walpost_live_ended_total', help: 'Streams that have ended.' };
    this.ended = new Counter({ ...ended, labelNames: ['reason'], registers });
    const resumed = { name: 'walpost_live_resumed_total', help: 'Streams that have caught up.' };
    this.resumed = new Counter({ ...resumed, labelNames: ['way'], registers });
  }

  liveConnections(count: number): void {
    this.connections.set(count);
  }

  liveSent(count: number): void {
    this.sent.inc(count);
  }

  /** @param reason one of END_REASONS in sinks/live/live-reader.ts */
  liveEnded(reason: string): void {
    this.ended.inc({ reason });
  }

  /** @param way one of RESUME_WAYS in sinks/live/live-resume.ts */
  liveResumed(way: string): void {
    this.resumed.inc({ way });
  }
}
