/**
 * Defence in depth: whoever meets a job makes sure that its course is there. With walpost a job is never earlier than its
 * state, so these checks find something only when the state was lost otherwise, such as by a restore of an older backup.
 */
import type { Envelope } from '@walpost/consumer';
import { countersText, createGuard } from '@walpost/consumer/workers';
import type { Redis } from 'ioredis';
import type pg from 'pg';
import { inOrganization } from '../support/in-organization.ts';
import { cacheReads } from './metrics.ts';

export interface CourseJob {
  readonly course_id: string;
  readonly title: string;
}

const guards = { listener: createGuard(), worker: createGuard() };
export type Layer = keyof typeof guards;

const SEEN_FOR_SECONDS = 600;
const keyOf = (courseId: string): string => `course:${courseId}`;

/** Writes the course from the job when it is missing. Inside a transaction that works for the organization of the job. */
export async function ensureCourse(tx: pg.ClientBase, event: Envelope<CourseJob>, layer: Layer): Promise<void> {
  const { course_id, title } = event.payload;
  await guards[layer](event, {
    find: async () => (await tx.query('SELECT FROM app.courses WHERE id = $1', [course_id])).rows[0] as object,
    repair: () =>
      tx.query('SELECT app.repair_course($1, $2, $3, $4)', [event.organization_id, course_id, title, layer]),
  });
}

/** Layer 2, when a job enters the queue: checks, repairs, and remembers for the worker that the course is there. */
export async function checkOnArrival(pool: pg.Pool, redis: Redis, event: Envelope<CourseJob>): Promise<void> {
  await inOrganization(pool, event.organization_id, (tx) => ensureCourse(tx, event, 'listener'));
  await redis.set(keyOf(event.payload.course_id), 'seen', 'EX', SEEN_FOR_SECONDS);
}

/** Layer 3, when a worker takes the job. It trusts the listener for ten minutes, and asks the database otherwise. */
export async function checkBeforeWork(tx: pg.ClientBase, redis: Redis, event: Envelope<CourseJob>): Promise<void> {
  const seen = await redis.get(keyOf(event.payload.course_id)).catch(() => null);
  cacheReads.inc({ outcome: seen === null ? 'miss' : 'hit' });
  if (seen === null) await ensureCourse(tx, event, 'worker');
}

/** What both layers have found, for Prometheus. */
export function guardMetrics(): string {
  return countersText(Object.entries(guards).map(([name, { counters }]) => ({ name, counters })));
}
