/** The one call: state, audit row and two jobs, once for each key. */
import { withOrganization } from '@walpost/client';
import type pg from 'pg';

export interface CourseRequest {
  readonly organizationId: string;
  /** Repeated by a client that got no answer: it then gets the first one. */
  readonly key: string;
  readonly title: string;
}

export interface StartedCourse {
  readonly courseId: string;
  /** The key was known: nothing was written. */
  readonly repeated: boolean;
}

/** `meanwhile` runs before the commit, to show what others see then. */
export async function startCourse(
  pool: pg.Pool,
  { organizationId, key, title }: CourseRequest,
  meanwhile: (courseId: string) => Promise<void> = () => Promise.resolve(),
): Promise<StartedCourse> {
  const tx = await pool.connect();
  try {
    await tx.query('BEGIN');
    await withOrganization(tx, organizationId);
    const { rows } = await tx.query<{ course: string; repeated: boolean }>(
      `SELECT result ->> 'course_id' AS course, result ->> 'transaction' <> pg_current_xact_id()::text AS repeated
         FROM walpost.once($1, $2, 'app.start_course(jsonb)', $3) AS result`,
      [organizationId, key, { organization_id: organizationId, title }],
    );
    const [row] = rows;
    if (!row) throw new Error('walpost.once returned no row');
    await meanwhile(row.course);
    await tx.query('COMMIT');
    return { courseId: row.course, repeated: row.repeated };
  } catch (error) {
    await tx.query('ROLLBACK').catch(() => undefined);
    throw error;
  } finally {
    tx.release();
  }
}
