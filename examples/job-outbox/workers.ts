/** The workers of both queues, and the listener that checks each job as it arrives. */
import { setTimeout as pause } from 'node:timers/promises';
import { withOrganization } from '@walpost/client';
import { type Envelope, postgresInbox } from '@walpost/consumer';
import { type Job, Queue, QueueEvents, Worker } from 'bullmq';
import type { Redis } from 'ioredis';
import type pg from 'pg';
import { checkBeforeWork, checkOnArrival, type CourseJob, ensureCourse } from './course-state.ts';
import { countFromZero, jobs, jobSeconds, watchQueues } from './metrics.ts';
import { connectRedis, redisUrl } from './redis-connection.ts';

export const QUEUES = ['outline', 'media'] as const;
export type QueueName = (typeof QUEUES)[number];

export interface WorkersOptions {
  readonly pool: pg.Pool;
  /** What generating a part takes. */
  readonly workMs: number;
  /** A job of a worker that died is taken again after this long. */
  readonly lockMs: number;
}

/** The inbox commits the id of the event together with what the job writes: each job takes effect once. */
async function work(queue: QueueName, job: Job<Envelope<CourseJob>>, options: WorkersOptions, redis: Redis) {
  const event = job.data;
  const inbox = postgresInbox<pg.PoolClient>(options.pool, { table: 'app.received' });
  const outcome = await inbox.once(event, async (tx) => {
    await withOrganization(tx, event.organization_id);
    await checkBeforeWork(tx, redis, event);
    await pause(options.workMs);
    const { course_id } = event.payload;
    const finish = `UPDATE app.courses SET ${queue}_at = now() WHERE id = $1`;
    if ((await tx.query(finish, [course_id])).rowCount === 0) {
      await ensureCourse(tx, event, 'worker'); // it was lost after the listener had seen it
      await tx.query(finish, [course_id]);
    }
    await tx.query('INSERT INTO app.work (organization_id, course_id, part, event_id) VALUES ($1, $2, $3, $4)', [
      event.organization_id,
      course_id,
      queue,
      event.event_id,
    ]);
  });
  jobs.inc({ queue, outcome: outcome === 'handled' ? 'done' : 'repeated' });
}

/** Returns what ends them in good order. */
export function startWorkers(options: WorkersOptions): () => Promise<void> {
  const redis = connectRedis(null);
  const queues = QUEUES.map((name) => new Queue<Envelope<CourseJob>>(name, { connection: redis }));
  const workers = QUEUES.map((name) => {
    const connection = { url: redisUrl() };
    const times = { concurrency: 16, lockDuration: options.lockMs, stalledInterval: options.lockMs / 2 };
    return new Worker<Envelope<CourseJob>>(
      name,
      async (job) => {
        const stop = jobSeconds.startTimer({ queue: name });
        await work(name, job, options, redis).finally(stop);
      },
      // A worker that dies stalls its jobs. They are not to blame, so this may happen to a job again and again.
      { connection, ...times, maxStalledCount: 100 },
    )
      .on('failed', () => jobs.inc({ queue: name, outcome: 'failed' }))
      .on('error', () => undefined);
  });
  const listeners = queues.map((queue) => listen(queue, options, redis));
  countFromZero(QUEUES);
  watchQueues(queues);
  return async () => {
    await Promise.all([...workers, ...listeners].map((each) => each.close()));
    await Promise.all(queues.map((queue) => queue.close()));
    redis.disconnect();
  };
}

function listen(queue: Queue<Envelope<CourseJob>>, { pool }: WorkersOptions, redis: Redis): QueueEvents {
  const events = new QueueEvents(queue.name, { connection: { url: redisUrl() } });
  events.on('added', ({ jobId }) => {
    void queue
      .getJob(jobId)
      .then((job) => job && checkOnArrival(pool, redis, job.data))
      .catch(() => undefined); // the worker checks too
  });
  return events.on('error', () => undefined);
}
