/** The application: catalogs things for 100 organizations. It knows nothing of walpost but the call of `publish`. */
import { setTimeout as delay } from 'node:timers/promises';
import { publish } from '@walpost/client';
import { inOrganization } from '../support/in-organization.ts';
import { openPool } from '../support/pool.ts';
import { organization } from './organizations.ts';

const pool = openPool(process.env['APP_URL'], 10, 'application');
let stopping = false;
process.once('SIGTERM', () => (stopping = true));

/** Three transactions. The triggers of schema.sql write an event in each. */
async function catalog(organizationId: string, title: string): Promise<string> {
  const job = await inOrganization(pool, organizationId, (tx) =>
    tx.query<{ id: string }>('INSERT INTO app.cataloging_jobs (organization_id, title) VALUES ($1, $2) RETURNING id', [
      organizationId,
      title,
    ]),
  );
  const { id } = job.rows[0] as { id: string };
  for (const status of ['running', 'completed']) {
    await inOrganization(pool, organizationId, (tx) =>
      tx.query('UPDATE app.cataloging_jobs SET status = $2 WHERE id = $1', [id, status]),
    );
  }
  return id;
}

async function flag(organizationId: string, jobId: string): Promise<void> {
  await inOrganization(pool, organizationId, (tx) =>
    tx.query(`INSERT INTO app.flags (organization_id, job_id, kind) VALUES ($1, $2, 'wrong author')`, [
      organizationId,
      jobId,
    ]),
  );
}

/** An event that no table shows: the application publishes it, in its own transaction. */
async function closeDay(organizationId: string): Promise<void> {
  await inOrganization(pool, organizationId, async (tx) => {
    const { rows } = await tx.query<{ jobs: number }>('SELECT count(*)::integer AS jobs FROM app.cataloging_jobs');
    await publish(tx, { organizationId, eventType: 'catalog.day_closed', topic: 'cataloging', payload: rows[0] });
  });
}

for (let n = 0; !stopping; n += 1) {
  const id = organization((n % 100) + 1);
  const jobId = await catalog(id, `Letters, volume ${n}`);
  if (n % 7 === 6) await flag(id, jobId);
  if (n % 10 === 9) await closeDay(id);
  await delay(20);
}
await pool.end();
