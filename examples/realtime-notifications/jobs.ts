/** The business: jobs of an organization. Each function is one transaction, and the triggers of schema.sql write its events. */
import { withOrganization } from '@walpost/client';
import pg from 'pg';

const pool = new pg.Pool({ connectionString: process.env['APP_URL'] });
pool.on('error', (error) => console.log(error.message)); // of a connection that nobody uses

async function inOrganization<T>(organizationId: string, work: (tx: pg.PoolClient) => Promise<T>): Promise<T> {
  const tx = await pool.connect();
  try {
    await tx.query('BEGIN');
    await withOrganization(tx, organizationId);
    const result = await work(tx);
    await tx.query('COMMIT');
    return result;
  } catch (error) {
    await tx.query('ROLLBACK');
    throw error;
  } finally {
    tx.release();
  }
}

export interface JobList {
  readonly counts: Readonly<Record<string, number>>;
  readonly latest: readonly { readonly id: string; readonly title: string; readonly status: string }[];
}

export function readJobs(organizationId: string): Promise<JobList> {
  return inOrganization(organizationId, async (tx) => {
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
  await inOrganization(organizationId, (tx) =>
    tx.query('INSERT INTO app.jobs (organization_id, title) VALUES ($1, $2)', [organizationId, title]),
  );
}

/** Changes every job of the organization, in one transaction: an event for each. */
export async function changeAll(organizationId: string): Promise<void> {
  await inOrganization(organizationId, (tx) =>
    tx.query(`UPDATE app.jobs SET status = CASE status WHEN 'completed' THEN 'queued' ELSE 'completed' END`),
  );
}

/** The same key approves once, however often it comes. */
export async function approveJob(organizationId: string, jobId: string, key: string): Promise<void> {
  await inOrganization(organizationId, async (tx) => {
    const added = await tx.query(
      'INSERT INTO app.approvals (key, organization_id, job_id) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING',
      [key, organizationId, jobId],
    );
    if (added.rowCount === 1) await tx.query(`UPDATE app.jobs SET status = 'approved' WHERE id = $1`, [jobId]);
  });
}
