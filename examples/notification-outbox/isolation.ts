/** What a session of organization 1 gets of organization 2: nothing. Each line is what Postgres answers. */
import { publish } from '@walpost/client';
import type pg from 'pg';
import { inOrganization } from '../support/in-organization.ts';
import { openPool } from '../support/pool.ts';
import { organization } from './organizations.ts';

const [one, two] = [organization(1), organization(2)];
const pool = openPool(process.env['APP_URL'], 1, 'isolation');

const attempts: Readonly<Record<string, (tx: pg.PoolClient) => Promise<unknown>>> = {
  'read jobs of organization 2': (tx) =>
    tx
      .query('SELECT FROM app.cataloging_jobs WHERE organization_id = $1', [two])
      .then(({ rowCount }) => `${rowCount} rows`),
  'write a job for organization 2': (tx) =>
    tx.query(`INSERT INTO app.cataloging_jobs (organization_id, title) VALUES ($1, 'x')`, [two]),
  'publish an event for organization 2': (tx) =>
    publish(tx, { organizationId: two, eventType: 'job.created', topic: 'cataloging', payload: {} }),
  'publish 2 KB for itself': (tx) =>
    publish(tx, { organizationId: one, eventType: 'x', topic: 'cataloging', payload: { text: 'x'.repeat(2_000) } }),
  'read the outbox': (tx) => tx.query('SELECT FROM walpost.outbox').then(({ rowCount }) => `${rowCount} rows`),
  'read dead letters': (tx) => tx.query('SELECT FROM walpost.dead_letters'),
  'move a cursor': (tx) => tx.query(`UPDATE walpost.cursor SET lsn = '0/0'`),
};

for (const [what, attempt] of Object.entries(attempts)) {
  const answer = await inOrganization(pool, one, attempt).catch((error: Error) => error.message);
  console.log(`${what}: ${String(answer)}`);
}
await pool.end();
