/** How far a job has come, how fast it goes and how long it still takes, as far as that can be told. */
import { type Job, jobName } from '../jobs/job.ts';
import { secondsText } from './quantity-text.ts';

/** When it was first seen to run. */
interface Begun {
  readonly settled: number;
  readonly atMs: number;
}

export class JobProgress {
  private readonly expected: number;
  private begun: Begun | undefined;

  /** @param expected events that it has to send, as they were counted before */
  constructor(expected: number) {
    this.expected = expected;
  }

  /** One line about the job as it is now. */
  line(job: Job, nowMs: number): string {
    if (job.state === 'running') this.begun ??= { settled: job.settled, atMs: nowMs };
    const line = `${jobName(job)}: ${job.state}, ${job.settled} of about ${this.expected} events`;
    const rate = this.rate(job, nowMs);
    if (rate === undefined) return line;
    return `${line}, ${rateText(rate)}, ${secondsText(secondsFor(this.expected - job.settled, rate))} left`;
  }

  /** Events a second; undefined until some were sent while it was watched. */
  private rate({ settled }: Job, nowMs: number): number | undefined {
    const { begun } = this;
    if (!begun || settled === begun.settled || nowMs <= begun.atMs) return undefined;
    return ((settled - begun.settled) * 1000) / (nowMs - begun.atMs);
  }
}

export function secondsFor(events: number, rate: number): number {
  return Math.max(0, events) / rate;
}

/** `0.2/s`, `1200/s` */
export function rateText(rate: number): string {
  return `${rate < 10 ? Number(rate.toPrecision(2)) : Math.round(rate)}/s`;
}
