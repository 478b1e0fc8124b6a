import { withOrganization } from '@walpost/client';
import type pg from 'pg';

/** The id of organization 1 to 100, as schema.sql made it. */
export function organization(number: number): string {
  return `00000000-0000-4000-8000-${String(number).padStart(12, '0')}`;
}

/** A transaction that sees and writes rows of one organization, and of no other. */
export async function inOrganization<T>(
  pool: pg.Pool,
  organizationId: string,
  work: (tx: pg.PoolClient) => Promise<T>,
): Promise<T> {
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
