/** What only the application can tell: its queues and its workers. The guards of course-state.ts count repairs. alerts.yaml has the rules over them. */
import type { Queue } from 'bullmq';
import { Counter, Gauge, Histogram, Registry } from 'prom-client';

export const registry = new Registry();
const registers = [registry];

export const started = new Counter({
  name: 'courses_started_total',
  help: 'Calls that start a course; repeated: the key was known.',
  labelNames: ['repeated'],
  registers,
});
export const jobs = new Counter({
  name: 'courses_jobs_total',
  help: 'Jobs that a worker has ended: done, repeated (it took effect before), failed (this attempt).',
  labelNames: ['queue', 'outcome'],
  registers,
});
export const jobSeconds = new Histogram({
  name: 'courses_job_seconds',
  help: 'Time that a worker takes for a job.',
  labelNames: ['queue'],
  buckets: [0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60],
  registers,
});
export const cacheReads = new Counter({
  name: 'courses_cache_reads_total',
  help: 'Questions of a worker whether a course has been seen; a miss asks the database.',
  labelNames: ['outcome'],
  registers,
});

/** A counter that is not there yet hides its first increase from a rule. */
export function countFromZero(queues: readonly string[]): void {
  for (const queue of queues) {
    for (const outcome of ['done', 'repeated', 'failed']) jobs.inc({ queue, outcome }, 0);
  }
  for (const outcome of ['hit', 'miss']) cacheReads.inc({ outcome }, 0);
}

/** Asked of Redis at each scrape. */
export function watchQueues(queues: readonly Queue[]): void {
  const depth = new Gauge({
    name: 'courses_queue_jobs',
    help: 'Jobs in a queue.',
    labelNames: ['queue', 'state'],
    registers,
  });
  const oldest = new Gauge({
    name: 'courses_queue_oldest_seconds',
    help: 'Age of the job that waits for the longest time; 0 when none waits.',
    labelNames: ['queue'],
    registers,
  });
  new Gauge({
    name: 'courses_workers',
    help: 'Workers that are connected to a queue.',
    labelNames: ['queue'],
    registers,
    async collect() {
      for (const queue of queues) {
        const counts = await queue.getJobCounts('wait', 'active', 'delayed', 'failed');
        for (const [state, count] of Object.entries(counts)) depth.set({ queue: queue.name, state }, count);
        const [first] = await queue.getJobs(['wait'], 0, 0, true);
        oldest.set({ queue: queue.name }, first ? Math.max(0, Date.now() - first.timestamp) / 1000 : 0);
        this.set({ queue: queue.name }, await queue.getWorkersCount());
      }
    },
  });
}
