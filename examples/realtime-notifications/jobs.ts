/** The business: jobs of an organization. Each function is one transaction, and the triggers of schema.sql write its events. */
import { inOrganization } from '../support/in-organization.ts';
import { openPool } from '../support/pool.ts';

const pool = openPool(process.env['APP_URL'], 10, 'application');

export interface JobList {
  readonly counts: Readonly<Record<string, number>>;
  readonly latest: readonly { readonly id: string; readonly title: string; readonly status: string }[];
}

export function readJobs(organizationId: string): Promise<JobList> {
  return inOrganization(pool, organizationId, async (tx) => {
    const counted = await tx.query<{ status: string; count: number }>(
      'SELECT status, count(*)::integer AS count FROM app.jobs GROUP BY status ORDER BY status',
    );
    const latest = await tx.query<JobList['latest'][number]>(
      'SELECT id, title, status FROM app.jobs ORDER BY id DESC LIMIT 8',
    );
    const counts = Object.fromEntries(counted.rows.map(({ status, count }) => [status, count]));
    return { counts, latest: latest.rows };
  });
}

export async function createJob(organizationId: string, title: string): Promise<void> {
  await inOrganization(pool, organizationId, (tx) =>
    tx.query('INSERT INTO app.jobs (organization_id, title) VALUES ($1, $2)', [organizationId, title]),
  );
}

/** Changes every job of the organization, in one transaction: an event for each. */
export async function changeAll(organizationId: string): Promise<void> {
  await inOrganization(pool, organizationId, (tx) =>
    tx.query(`UPDATE app.jobs SET status = CASE status WHEN 'completed' THEN 'queued' ELSE 'completed' END`),
  );
}

/** The same key approves once, however often it comes. */
export async function approveJob(organizationId: string, jobId: string, key: string): Promise<void> {
  await inOrganization(pool, organizationId, async (tx) => {
    const added = await tx.query(
      'INSERT INTO app.approvals (key, organization_id, job_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
      [key, organizationId, jobId],
    );
    if (added.rowCount === 1) await tx.query(`UPDATE app.jobs SET status = 'approved' WHERE id = $1`, [jobId]);
  });
}
