import { withOrganization } from '@walpost/client';
import type pg from 'pg';

/** A transaction that sees and writes rows of one organization, and of no other. Rolls back when `work` rejects. */
export async function inOrganization<T>(
  pool: pg.Pool,
  organizationId: string,
  work: (tx: pg.PoolClient) => Promise<T>,
): Promise<T> {
  const tx = await pool.connect();
  let broken = true;
  try {
    await tx.query('BEGIN');
    await withOrganization(tx, organizationId);
    const result = await work(tx);
    await tx.query('COMMIT');
    broken = false;
    return result;
  } catch (error) {
    // A connection that is gone refuses this too; what went wrong first says more.
    broken = await tx.query('ROLLBACK').then(
      () => false,
      () => true,
    );
    throw error;
  } finally {
    tx.release(broken);
  }
}
