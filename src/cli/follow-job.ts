/** Watches a job until it is over, or until Ctrl-C, which stops the watching and not the job. */
import type pg from 'pg';
import { pause, systemClock } from '../clock.ts';
import { WalpostError } from '../errors.ts';
import { type Job, jobName } from '../jobs/job.ts';
import { readJob } from '../jobs/job-rows.ts';
import { printable } from '../observe/printable.ts';
import { JobProgress } from './job-progress.ts';
import { changedLine } from './progress-line.ts';
import { fitted, terminalWidth } from './text-table.ts';
import { inspectSlot } from '../slot/slot-state.ts';

export interface FollowOptions {
  readonly pool: pg.Pool;
  readonly job: Job;
  /** What the job has to send, as it was counted. */
  readonly expected: number;
  /** Progress goes here; one line that changes when it is a terminal. */
  readonly output: { readonly isTTY?: boolean; readonly columns?: number; write(text: string): unknown };
}

const LOOK_MS = 300;
const LINE_MS = 2_000;

/** The job when it was last seen; throws when it has failed or was cancelled. */
export async function followJob({ pool, job: asked, expected, output }: FollowOptions): Promise<Job> {
  const stop = new AbortController();
  const onSignal = (): void => stop.abort();
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.once(signal, onSignal);
  const live = output.isTTY === true;
  let job = asked;
  const progress = new JobProgress(expected);
  let told = { line: '', at: -Infinity };
  let lonely = false;
  try {
    while (!stop.signal.aborted && (job.state === 'queued' || job.state === 'running')) {
      if (job.state === 'queued' && !lonely && !(await isStreamed(pool, job.slot))) {
        lonely = true;
        const alone = `No relay streams from ${job.slot} now: the job waits for one.`;
        output.write(`${fitted(printable(alone), terminalWidth(output))}\n`);
      }
      const line = progress.line(job, systemClock.now());
      if (line !== told.line && systemClock.now() - told.at >= (live ? 0 : LINE_MS)) {
        output.write(live ? changedLine(line, output) : `${line}\n`);
        told = { line, at: systemClock.now() };
      }
      await pause(systemClock, LOOK_MS, stop.signal);
      job = (await readJob(pool, job.id)) ?? job;
    }
  } finally {
    if (live) output.write(changedLine('', output));
    for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, onSignal);
  }
  return judged(job);
}

function judged(job: Job): Job {
  if (job.state === 'failed') throw new WalpostError('JOB_FAILED', { detail: `${jobName(job)}: ${job.error ?? ''}` });
  if (job.state === 'cancelled') {
    throw new WalpostError('JOB_CANCELLED', {
      detail: `It is ${jobName(job)}, and it had sent ${job.settled} events.`,
    });
  }
  return job;
}

export async function isStreamed(pool: pg.Pool, slot: string): Promise<boolean> {
  const state = await inspectSlot(pool, slot);
  return state.kind !== 'missing' && state.facts.holder !== null;
}
