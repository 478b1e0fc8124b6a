/** `npm run flag <organization 1 to 100> <kind>`: raises a flag on the latest job of the organization. */
import { inOrganization } from '../support/in-organization.ts';
import { openPool } from '../support/pool.ts';
import { organization } from './organizations.ts';

const [number = '1', kind = 'wrong author'] = process.argv.slice(2);
const organizationId = organization(Number(number));
const pool = openPool(process.env['APP_URL'], 1, 'flag');
const flags = await inOrganization(pool, organizationId, async (tx) => {
  const { rows } = await tx.query<{ id: string }>(
    `INSERT INTO app.flags (organization_id, job_id, kind)
     SELECT $1, id, $2 FROM app.cataloging_jobs ORDER BY id DESC LIMIT 1 RETURNING id`,
    [organizationId, kind],
  );
  return rows;
});
await pool.end();
console.log(flags[0] ? `flag ${flags[0].id}: ${kind}` : `organization ${number} has no job yet`);
