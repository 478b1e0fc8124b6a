/** The one call: state, audit row and two jobs, once for each key. */
import { createPublisher } from '@walpost/client';
import type pg from 'pg';
import { inOrganization } from '../support/in-organization.ts';

/** Functions of schema.sql. Its events are published there, so none is named here. */
interface Commands {
  'app.start_course': {
    readonly arguments: { readonly organization_id: string; readonly title: string };
    readonly result: { readonly course_id: string; readonly transaction: string };
  };
}
const publisher = createPublisher<object, Commands>();

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
export function startCourse(
  pool: pg.Pool,
  { organizationId, key, title }: CourseRequest,
  meanwhile: (courseId: string) => Promise<void> = () => Promise.resolve(),
): Promise<StartedCourse> {
  return inOrganization(pool, organizationId, async (tx) => {
    const { course_id: courseId, transaction } = await publisher.once(tx, {
      organizationId,
      idempotencyKey: key,
      command: 'app.start_course',
      arguments: { organization_id: organizationId, title },
    });
    // A kept result names the transaction that has written it.
    const { rows } = await tx.query<{ own: string }>('SELECT pg_current_xact_id_if_assigned()::text AS own');
    await meanwhile(courseId);
    return { courseId, repeated: transaction !== rows[0]?.own };
  });
}
