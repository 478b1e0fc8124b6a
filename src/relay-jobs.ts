/** What the leader does beside the stream: it takes checkpoints and runs jobs. */
import type pg from 'pg';
import type { Clock } from './clock.ts';
import type { Config } from './config/schema.ts';
import { columnMapping, requiredColumns } from './decoder/column-mapping.ts';
import { DeadLetterScan } from './jobs/dead-letter-scan.ts';
import type { Job } from './jobs/job.ts';
import { type JobEvent, JobRunner } from './jobs/job-runner.ts';
import { JobStore } from './jobs/job-store.ts';
import { OutboxScan, requireScanColumns } from './jobs/outbox-scan.ts';
import type { ScanOutlet, ScanSource } from './jobs/scan.ts';
import type { Lsn } from './lsn.ts';
import type { Logger } from './observe/log.ts';
import { CheckpointKeeper } from './postgres/checkpoint-keeper.ts';
import { CheckpointStore } from './postgres/checkpoints.ts';
import { inTransaction } from './postgres/transaction.ts';
import type { Chore } from './relay-chores.ts';
import type { Ground } from './relay-ground.ts';
import { outboxTable } from './relay-outbox.ts';
import { checkSource } from './slot/source-checks.ts';

export interface RelayJobsOptions {
  readonly config: Config;
  readonly log: Logger;
  readonly clock: Clock;
  readonly ground: Ground;
  readonly outlet: ScanOutlet;
  readonly watermark: () => Lsn;
  readonly fail: (error: unknown) => void;
}

/** One for the scan, one for listening. */
const CONNECTIONS = 2;

export class RelayJobs implements AsyncDisposable {
  private readonly options: RelayJobsOptions;
  private readonly keeper: CheckpointKeeper;
  private readonly pool: pg.Pool;
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;

  constructor(options: RelayJobsOptions) {
    const { ground, watermark } = options;
    const { publication, table } = options.config.source;
    const store = new CheckpointStore(ground.pool, ground.cursor);
    this.options = options;
    this.pool = ground.openPool('walpost jobs', CONNECTIONS);
    this.keeper = new CheckpointKeeper({ store, take: () => store.takeOf({ publication, table }), watermark });
  }

  /** Checkpoints are taken in turns, for as long as the stream runs. */
  get chore(): Chore {
    const every = this.options.config.source.checkpoint_interval;
    return { name: 'taking a checkpoint', every, run: () => this.keeper.round() };
  }

  /** The stream runs: jobs may begin, or go on. */
  start(): void {
    const { clock, ground, outlet, fail } = this.options;
    const runner = new JobRunner({
      store: new JobStore(ground.pool, ground.cursor),
      pool: this.pool,
      outlet,
      clock,
      sourceOf: (job) => this.sourceOf(job),
      onEvent: (event) => this.tell(event),
      onLost: fail,
    });
    this.running = runner.run(this.stopping.signal);
  }

  /** A transaction has brought events. */
  received(): void {
    this.keeper.received();
  }

  /** Takes up nothing new; a job that is under way goes on with the next connection. */
  stop(): void {
    this.stopping.abort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.stop();
    await this.running;
    await this.pool.end();
  }

  /** Policies may have changed since the connection was made, and would hide rows without a word. */
  private async sourceOf(job: Job): Promise<ScanSource> {
    const { config } = this.options;
    const { pool } = this;
    if (job.kind === 'redrive') return new DeadLetterScan({ pool, job, sinks: Object.keys(config.sinks) });
    const source = outboxTable(config.source);
    await requireScanColumns(pool, source.table);
    const columns = requiredColumns(columnMapping(config.source));
    await checkSource({ db: pool, publication: config.source.publication, table: source.table, columns });
    return new OutboxScan({
      source,
      afterSnapshot: job.afterSnapshot,
      beforeXid: job.beforeXid,
      filter: job.spec,
      sinks: job.spec.sinks,
      inTransaction: (work) => inTransaction(pool, work),
    });
  }

  private tell({ what, ...event }: JobEvent): void {
    const { log } = this.options;
    if (what === 'failed' || what === 'stalled') log.warn(event, `job ${what}`);
    else log.info(event, `job ${what}`);
  }
}
