/**
 * The relay as a service: keeps a connection to the slot alive, and ends in good order.
 *
 * The sinks, with their breakers and sockets, live as long as the service; everything else lives as long as one connection.
 */
import type { Clock } from './clock.ts';
import type { Config } from './config/schema.ts';
import { messageOf, WalpostError } from './errors.ts';
import type { Logger } from './observe/log.ts';
import type { Metrics } from './observe/metrics.ts';
import type { Readiness, RunningRelay, StatusReport } from './observe/status-report.ts';
import { Relay } from './relay.ts';
import { openGround } from './relay-ground.ts';
import { keepTrying } from './relay-retry.ts';
import { openSinks } from './relay-sinks.ts';
import { RelayStatus } from './relay-status.ts';
import type { GuardedSink } from './sinks/guarded-sink.ts';

export interface RelayServiceOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly metrics: Metrics;
  readonly clock: Clock;
}

export class RelayService implements RunningRelay {
  private readonly options: RelayServiceOptions;
  private readonly reporter: RelayStatus;
  private readonly stopping = new AbortController();
  private sinks: readonly GuardedSink[] = [];
  private finished: Promise<void> | undefined;
  private relay: Relay | undefined;

  constructor(options: RelayServiceOptions) {
    this.options = options;
    this.reporter = new RelayStatus(options);
  }

  /** Streams until the signal aborts, reconnecting by itself. Rejects when only a person can help. */
  async run(signal: AbortSignal): Promise<void> {
    const { config, clock, log, metrics } = this.options;
    const ended = AbortSignal.any([signal, this.stopping.signal]);
    this.sinks = await openSinks(config, { clock, metrics, log });
    this.reporter.sinks = this.sinks;
    this.finished = keepTrying(() => this.connect(ended), {
      clock,
      signal: ended,
      onRetry: (error, wait) => {
        this.reporter.starting(messageOf(error));
        const code = error instanceof WalpostError ? error.code : undefined;
        log.warn({ code, waitMs: Math.round(wait) }, messageOf(error));
      },
    });
    await this.finished;
  }

  /** Delivers what it holds, confirms, and lets `run` resolve. */
  async drain(): Promise<void> {
    await this.relay?.drain();
    this.stopping.abort();
    await this.finished?.catch(() => undefined);
  }

  status(): Promise<StatusReport> {
    return this.reporter.report();
  }

  readiness(): Readiness {
    return this.reporter.readiness();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stopping.abort();
    await this.finished?.catch(() => undefined);
    await Promise.all(this.sinks.map((sink) => sink.close()));
    this.sinks = [];
  }

  private async connect(signal: AbortSignal): Promise<void> {
    await using ground = await openGround(this.options);
    const { config, log, clock } = this.options;
    this.relay = new Relay({ config, log, clock, ground, sinks: this.sinks, watcher: this.reporter.watcher });
    const detach = this.reporter.attach(this.relay);
    try {
      await this.relay.run(signal);
    } finally {
      this.relay = undefined;
      detach();
    }
  }
}
