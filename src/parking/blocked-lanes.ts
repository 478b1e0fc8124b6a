import type pg from 'pg';
import type { LaneName } from '../pipeline.ts';
import { databaseError } from '../postgres/database-error.ts';

/** Lanes that a dead letter blocks (`delivery.on_dead_letter: block`). */
export async function readBlockedLanes(pool: pg.Pool, slot: string): Promise<readonly LaneName[]> {
  try {
    const { rows } = await pool.query<LaneName & object>(
      `SELECT DISTINCT sink, organization_id AS "organizationId", lane FROM walpost.dead_letters
        WHERE slot = $1 AND blocks AND sink IS NOT NULL AND organization_id IS NOT NULL`,
      [slot],
    );
    return rows;
  } catch (error) {
    throw databaseError(error, 'reading the blocked lanes');
  }
}
