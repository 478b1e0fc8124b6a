/**
 * Runs the jobs of walpost.jobs beside the stream, one after the other, for as long as this process leads.
 *
 * A job that runs when the connection ends stays `running`. The next connection, in this or another process, goes on after its
 * last saved page. A permanent error makes the job `failed` and does not affect the stream.
 */
import type pg from 'pg';
import { pause, type Clock } from '../clock.ts';
import { messageOf, WalpostError } from '../errors.ts';
import { formatLsn } from '../lsn.ts';
import { databaseError } from '../postgres/database-error.ts';
import { inTransaction } from '../postgres/transaction.ts';
import { type Job, jobName } from './job.ts';
import { JobNotifications } from './job-notifications.ts';
import { readJob } from './job-rows.ts';
import type { JobStore } from './job-store.ts';
import { addCounts, runScan, ScanCancelled, type ScanOutlet, type ScanProgress, type ScanSource } from './scan.ts';

export interface JobRunnerOptions {
  readonly store: JobStore;
  /** Connections for scans and for listening: two. */
  readonly pool: pg.Pool;
  readonly outlet: ScanOutlet;
  readonly clock: Clock;
  /** What the job reads; throws what will never work. */
  readonly sourceOf: (job: Job) => Promise<ScanSource>;
  readonly onEvent: (event: JobEvent) => void;
  /** Further jobs are pointless: this process is not the leader any more. */
  readonly onLost: (error: unknown) => void;
}

export interface JobEvent {
  readonly job: string;
  readonly what: 'begun' | 'resumed' | 'done' | 'failed' | 'cancelled' | 'stalled';
  readonly scanned: number;
  readonly settled: number;
  readonly message?: string;
}

const FIRST_WAIT = 500;
const LONGEST_WAIT = 15_000;
/** Server errors in a row after which the job is `failed`. */
const TRIES = 5;

export class JobRunner {
  private readonly options: JobRunnerOptions;
  private readonly notifications: JobNotifications;
  private failures = 0;

  constructor(options: JobRunnerOptions) {
    this.options = options;
    this.notifications = new JobNotifications(options.pool, options.clock);
  }

  /** Runs until the signal aborts. Never rejects: an error that ends the connection goes to `onLost`. */
  async run(signal: AbortSignal): Promise<void> {
    try {
      while (!signal.aborted) await this.turn(signal);
    } catch (error) {
      if (!signal.aborted) this.options.onLost(error);
    } finally {
      this.notifications.close();
    }
  }

  /** One job, or one wait for a job. Throws LEADERSHIP_LOST alone. */
  private async turn(signal: AbortSignal): Promise<void> {
    const { store, clock, onEvent } = this.options;
    let job: Job | undefined;
    try {
      await this.notifications.listen();
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
    if (!job) await this.notifications.wait(signal);
  }

  private async runJob(job: Job, signal: AbortSignal): Promise<void> {
    const { store, outlet, clock, sourceOf, onEvent } = this.options;
    const name = jobName(job);
    onEvent({ job: name, what: job.place === null ? 'begun' : 'resumed', scanned: job.scanned, settled: job.settled });
    const source = await sourceOf(job);
    let { scanned, settled, sent, unrouted } = job;
    const save = async (progress: ScanProgress): Promise<void> => {
      if (!(await this.save(job, progress))) throw new ScanCancelled();
      this.failures = 0;
      scanned += progress.scanned;
      settled += progress.settled;
      sent = addCounts(sent, progress.sent);
      unrouted += progress.unrouted;
    };
    const [over, cancelled] = [new AbortController(), new AbortController()];
    void this.watch(job, cancelled, AbortSignal.any([signal, over.signal]));
    const scan = {
      job: name,
      source,
      outlet,
      clock,
      from: job.place,
      rate: job.spec.rate,
      cancelled: cancelled.signal,
    };
    try {
      await runScan({ ...scan, save }, signal);
    } catch (error) {
      if (!(error instanceof ScanCancelled)) throw error;
      return onEvent({ job: name, what: 'cancelled', scanned, settled });
    } finally {
      over.abort();
    }
    const from_lsn = job.fromLsn === null ? null : formatLsn(job.fromLsn);
    const done = await store.finish(job, { from_lsn, scanned, events: settled, sent, unrouted });
    onEvent({ job: name, what: done ? 'done' : 'cancelled', scanned, settled });
  }

  /** Aborts `cancelled` when the job was cancelled, so that a slow one need not come to its next page first. Never rejects. */
  private async watch({ id }: Job, cancelled: AbortController, signal: AbortSignal): Promise<void> {
    while (!cancelled.signal.aborted) {
      await this.notifications.wait(signal);
      if (signal.aborted) return;
      try {
        await this.notifications.listen();
        if ((await readJob(this.options.pool, id))?.state === 'cancelled') cancelled.abort();
      } catch {
        // The next notification, or the next page, says it.
      }
    }
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
