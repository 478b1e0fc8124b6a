/**
 * Runs what stands in walpost.jobs, one job after the other, beside the stream, for as long as this process leads.
 *
 * A job that is under way when the connection ends stays `running`, and goes on behind its last saved page with the next
 * connection, here or elsewhere. An error that will not go away makes it `failed`; the stream does not suffer by it.
 */
import type pg from 'pg';
import { pause, type Clock } from '../clock.ts';
import { messageOf, WalpostError } from '../errors.ts';
import { formatLsn } from '../lsn.ts';
import { databaseError } from '../postgres/database-error.ts';
import { inTransaction } from '../postgres/transaction.ts';
import { type Job, jobName } from './job.ts';
import { JobBell } from './job-bell.ts';
import { readJob } from './job-rows.ts';
import type { JobStore } from './job-store.ts';
import { runScan, type ScanOutlet, type ScanProgress, type ScanSource } from './scan.ts';

export interface JobRunnerOptions {
  readonly store: JobStore;
  /** Connections for scans and for listening: two. */
  readonly pool: pg.Pool;
  readonly outlet: ScanOutlet;
  readonly clock: Clock;
  /** What the job reads; throws what will never work. */
  readonly sourceOf: (job: Job) => Promise<ScanSource>;
  readonly onEvent: (event: JobEvent) => void;
  /** Running jobs is of no use any more: this process is not the leader. */
  readonly onLost: (error: unknown) => void;
}

export interface JobEvent {
  readonly job: string;
  readonly what: 'begun' | 'resumed' | 'done' | 'failed' | 'cancelled' | 'stalled';
  readonly scanned: number;
  readonly settled: number;
  readonly message?: string;
}

class Cancelled extends Error {}

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;
/** An error of the server that comes so often in a row is the job's own. */
const TRIES = 5;

export class JobRunner {
  private readonly options: JobRunnerOptions;
  private readonly bell: JobBell;
  private failures = 0;

  constructor(options: JobRunnerOptions) {
    this.options = options;
    this.bell = new JobBell(options.pool, options.clock);
  }

  /** Until the signal aborts. Never rejects: what ends the connection is told to `onLost`. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) await this.turn(signal);
    } catch (error) {
      if (!signal.aborted) this.options.onLost(error);
    } finally {
      this.bell.close();
    }
  }

  /** One job, or one wait for a job. Throws LEADERSHIP_LOST alone. */
  private async turn(signal: AbortSignal): Promise<void> {
    const { store, clock, onEvent } = this.options;
    let job: Job | undefined;
    try {
      await this.bell.listen();
      job = await store.take();
      if (job) await this.runJob(job, signal);
      this.failures = 0;
    } catch (caught) {
      const error = databaseError(caught);
      if (signal.aborted) return;
      if (error instanceof WalpostError && error.code === 'LEADERSHIP_LOST') throw error;
      this.failures += 1;
      if (job && !mayPass(error, this.failures)) return this.fail(job, error);
      onEvent({ job: job ? jobName(job) : 'jobs', what: 'stalled', ...NOTHING, message: messageOf(error) });
      await pause(clock, Math.min(LONGEST_WAIT, FIRST_WAIT * 2 ** Math.min(this.failures, 10)), signal);
      return;
    }
    if (!job) await this.bell.wait(signal);
  }

  private async runJob(job: Job, signal: AbortSignal): Promise<void> {
    const { store, outlet, clock, sourceOf, onEvent } = this.options;
    const name = jobName(job);
    onEvent({ job: name, what: job.place === null ? 'begun' : 'resumed', scanned: job.scanned, settled: job.settled });
    const source = await sourceOf(job);
    let { scanned, settled } = job;
    const save = async (progress: ScanProgress): Promise<void> => {
      if (!(await this.save(job, progress))) throw new Cancelled();
      this.failures = 0;
      scanned += progress.scanned;
      settled += progress.settled;
    };
    try {
      await runScan({ job: name, source, outlet, clock, from: job.place, rate: job.spec.rate, save }, signal);
    } catch (error) {
      if (!(error instanceof Cancelled)) throw error;
      return onEvent({ job: name, what: 'cancelled', scanned, settled });
    }
    const from_lsn = job.fromLsn === null ? null : formatLsn(job.fromLsn);
    const done = await store.finish(job, { from_lsn, scanned, events: settled });
    onEvent({ job: name, what: done ? 'done' : 'cancelled', scanned, settled });
  }

  private save(job: Job, progress: ScanProgress): Promise<boolean> {
    const { store, pool } = this.options;
    const { finish } = progress;
    if (!finish) return store.save(job.id, progress);
    return inTransaction(pool, async (client) => {
      const saved = await store.save(job.id, progress, client);
      await finish(client); // also of a job that was cancelled: its events are settled
      return saved;
    });
  }

  private async fail(job: Job, error: Error): Promise<void> {
    const { store, pool, onEvent } = this.options;
    const message = messageOf(error);
    await store.end(job.id, { state: 'failed', error: message });
    const { scanned, settled } = (await readJob(pool, job.id)) ?? job;
    onEvent({ job: jobName(job), what: 'failed', scanned, settled, message });
    this.failures = 0;
  }
}

const NOTHING = { scanned: 0, settled: 0 } as const;

/** Whether trying again may help. */
function mayPass(error: Error, failures: number): boolean {
  if (!(error instanceof WalpostError) || error.policy !== 'retry') return false;
  return error.code !== 'DATABASE' || failures < TRIES;
}
