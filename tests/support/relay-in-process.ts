import { type Clock, systemClock } from '../../src/clock.ts';
import { configSchema } from '../../src/config/schema.ts';
import type { WalpostError } from '../../src/errors.ts';
import { createLog } from '../../src/observe/log.ts';
import { Metrics } from '../../src/observe/metrics.ts';
import { Relay } from '../../src/relay/relay.ts';
import type { TestDatabase } from './database.ts';
import { poll } from './slot-session.ts';

export interface RelayInProcessOptions {
  readonly database: TestDatabase;
  readonly sinks: Readonly<Record<string, object>>;
  readonly source?: object;
  /** Further sections of the configuration. */
  readonly config?: Readonly<Record<string, object>>;
  readonly clock?: Clock;
}

/** A relay in this process, as the configuration makes it; disposing cuts its connections. */
export class RelayInProcess implements AsyncDisposable {
  readonly service: Relay;
  readonly metrics: Metrics;
  /** Its log, one JSON object a line. */
  readonly lines: string[] = [];
  /** Settles as `run` does: undefined, or the error. */
  readonly ended: Promise<WalpostError | undefined>;
  private readonly abort = new AbortController();
  private failure: WalpostError | undefined;

  constructor({ database, sinks, source, config, clock = systemClock }: RelayInProcessOptions) {
    const parsed = configSchema.parse({
      routes: [{ to: Object.keys(sinks) }],
      batching: { window: '10ms' },
      http: { enabled: false },
      ...config,
      database: { url: database.url },
      source: { slot: database.slotName, checkpoint_interval: '100ms', ...source },
      sinks,
    });
    this.metrics = new Metrics(Object.keys(sinks));
    this.service = new Relay({
      config: parsed,
      log: createLog({ level: 'info', format: 'json', destination: { write: (line) => this.lines.push(line) } }),
      metrics: this.metrics,
      clock,
    });
    this.ended = this.service.run(this.abort.signal).then(
      () => undefined,
      (error: WalpostError) => (this.failure = error),
    );
  }

  /** Resolves when it streams. */
  static async start(options: RelayInProcessOptions): Promise<RelayInProcess> {
    const relay = new RelayInProcess(options);
    await relay.streams();
    return relay;
  }

  async streams(timeout = 60_000): Promise<void> {
    await poll(
      'it streams',
      async () => {
        if (this.failure) throw this.failure;
        const { ready, role } = this.service.readiness();
        return (ready && role === 'leader') || undefined;
      },
      timeout,
    );
  }

  /** Ends in good order. */
  async stop(): Promise<void> {
    await this.service.drain();
    await this.ended;
    await this.service[Symbol.asyncDispose]();
  }

  /** Cuts everything off. */
  async [Symbol.asyncDispose](): Promise<void> {
    this.abort.abort();
    await this.service[Symbol.asyncDispose]();
    await this.ended;
  }
}
