/**
 * Defence in depth: whoever meets a job makes sure that its course is there. With walpost a job is never earlier than its
 * state, so these checks find something only when the state was lost otherwise, such as by a restore of an older backup.
 */
import { withOrganization } from '@walpost/client';
import type { Envelope } from '@walpost/consumer';
import type { Redis } from 'ioredis';
import type pg from 'pg';
import { cacheReads, repairs } from './metrics.ts';

export interface CourseJob {
  readonly course_id: string;
  readonly title: string;
}

export type Layer = 'listener' | 'worker';

const SEEN_FOR_SECONDS = 600;
const keyOf = (courseId: string): string => `course:${courseId}`;

/** Writes the course from the job when it is missing. Inside a transaction that works for the organization of the job. */
export async function ensureCourse(
  tx: pg.ClientBase,
  { organization_id, payload }: Envelope<CourseJob>,
  layer: Layer,
): Promise<void> {
  const { rows } = await tx.query<{ repaired: boolean }>('SELECT app.ensure_course($1, $2, $3, $4) AS repaired', [
    organization_id,
    payload.course_id,
    payload.title,
    layer,
  ]);
  if (rows[0]?.repaired) repairs.inc({ layer });
}

/** Layer 2, when a job enters the queue: checks, repairs, and remembers for the worker that the course is there. */
export async function checkOnArrival(pool: pg.Pool, redis: Redis, event: Envelope<CourseJob>): Promise<void> {
  const tx = await pool.connect();
  try {
    await tx.query('BEGIN');
    await withOrganization(tx, event.organization_id);
    await ensureCourse(tx, event, 'listener');
    await tx.query('COMMIT');
  } catch (error) {
    await tx.query('ROLLBACK').catch(() => undefined);
    throw error;
  } finally {
    tx.release();
  }
  await redis.set(keyOf(event.payload.course_id), 'seen', 'EX', SEEN_FOR_SECONDS);
}

/** Layer 3, when a worker takes the job. It trusts the listener for ten minutes, and asks the database otherwise. */
export async function checkBeforeWork(tx: pg.ClientBase, redis: Redis, event: Envelope<CourseJob>): Promise<void> {
  const seen = await redis.get(keyOf(event.payload.course_id)).catch(() => null);
  cacheReads.inc({ outcome: seen === null ? 'miss' : 'hit' });
  if (seen === null) await ensureCourse(tx, event, 'worker');
}
