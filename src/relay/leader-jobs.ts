/** What the leader does beside the stream: it takes checkpoints and runs jobs. */
import type pg from 'pg';
import { pause } from '../clock.ts';
import { changesArrived } from '../endpoints/awaited-changes.ts';
import { requiredColumns } from '../postgres/source/column-mapping.ts';
import { countLetters, refuseGoneSinks, refuseWhenAllGone } from '../jobs/dead-letter-count.ts';
import { DeadLetterScan } from '../jobs/dead-letter-scan.ts';
import type { Job } from '../jobs/job.ts';
import { type JobEvent, JobRunner } from '../jobs/job-runner.ts';
import { JobStore } from '../jobs/job-store.ts';
import { OutboxScan, requireScanColumns } from '../jobs/outbox-scan.ts';
import type { ScanOutlet, ScanSource } from '../jobs/scan.ts';
import type { Lsn } from '../lsn.ts';
import { LoadedRows } from '../postgres/source/restored-rows.ts';
import { CheckpointKeeper } from '../postgres/cursor/checkpoint-keeper.ts';
import { CheckpointStore } from '../postgres/cursor/checkpoints.ts';
import { inTransaction } from '../postgres/transaction.ts';
import type { Chore } from './chores.ts';
import type { RelayOptions } from './dependencies.ts';
import { outboxTable } from './outbox-reader.ts';
import { checkSource } from '../postgres/source/source-checks.ts';

export interface LeaderJobsOptions extends Pick<RelayOptions, 'config' | 'log' | 'clock' | 'term' | 'endpoints'> {
  readonly outlet: ScanOutlet;
  readonly watermark: () => Lsn;
  readonly fail: (error: unknown) => void;
}

/** One for the scan, one for listening. */
const CONNECTIONS = 2;
/** How often it is asked whether the stream has come to what a job waits for. */
const LOOK_MS = 100;

export class LeaderJobs implements AsyncDisposable {
  private readonly options: LeaderJobsOptions;
  private readonly keeper: CheckpointKeeper;
  private readonly loaded: LoadedRows;
  private readonly pool: pg.Pool;
  private readonly stopping = new AbortController();
  private running: Promise<void> | undefined;

  constructor(options: LeaderJobsOptions) {
    const { term, watermark } = options;
    const { publication, table } = options.config.source;
    const store = new CheckpointStore(term.pool, term.cursor);
    this.options = options;
    this.pool = term.openPool('walpost jobs', CONNECTIONS);
    this.loaded = new LoadedRows({ ...term, log: options.log, table });
    this.keeper = new CheckpointKeeper({ store, take: () => store.takeOf({ publication, table }), watermark });
  }

  /** They do nothing while no events arrive. */
  get chores(): readonly Chore[] {
    const every = this.options.config.source.checkpoint_interval;
    return [
      { name: 'taking a checkpoint', every, run: () => this.keeper.round() },
      { name: 'looking for rows from another cluster', every, run: (signal) => this.loaded.check(signal) },
    ];
  }

  /** Call it when the stream runs: jobs may begin, or go on. */
  start(): void {
    const { clock, term, outlet, fail } = this.options;
    const runner = new JobRunner({
      store: new JobStore(term.pool, term.cursor),
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
    this.loaded.received();
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

  /** The source is checked for each job: a policy that was added since the connection was made would hide rows silently. */
  private async sourceOf(job: Job): Promise<ScanSource> {
    const { config } = this.options;
    const { pool } = this;
    const sinks = Object.keys(config.sinks);
    refuseGoneSinks(job.spec.sinks ?? [], sinks);
    if (job.kind === 'redrive') {
      if (job.place === null) refuseWhenAllGone(await countLetters(pool, job, { routes: config.routes, sinks }), sinks);
      return new DeadLetterScan({ pool, job, sinks });
    }
    // A newer release, or a person, has requested it. Run as a replay it would send everything.
    if (job.kind !== 'replay') throw new Error(`this release of walpost knows no jobs of the kind "${job.kind}"`);
    const source = outboxTable(config.source);
    await requireScanColumns(pool, source.table);
    const columns = requiredColumns(config.source);
    const { publication, plugin, row_filter: rowFilter } = config.source;
    await checkSource({ db: pool, publication, table: source.table, columns, plugin, slot: job.slot, rowFilter });
    await this.knowsEndpoints(job);
    return new OutboxScan({
      source,
      afterSnapshot: job.afterSnapshot,
      beforeXid: job.beforeXid,
      filter: job.spec,
      sinks: job.spec.sinks,
      lanes: job.spec.lanes,
      inTransaction: (work) => inTransaction(pool, work),
    });
  }

  /** The endpoints that the job is for are chosen as they are now, so their changes must have come in the stream. */
  private async knowsEndpoints({ spec }: Job): Promise<void> {
    const { clock, endpoints } = this.options;
    const { signal } = this.stopping;
    while (!signal.aborted && !(await changesArrived(this.pool, endpoints.directory, spec.lanes ?? []))) {
      await pause(clock, LOOK_MS, signal);
    }
  }

  private tell({ what, ...event }: JobEvent): void {
    const { log } = this.options;
    if (what === 'failed' || what === 'stalled') log.warn(event, `job ${what}`);
    else log.info(event, `job ${what}`);
  }
}
