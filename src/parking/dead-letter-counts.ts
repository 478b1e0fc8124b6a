import type pg from 'pg';
import type { DeadLetterCount } from '../observe/status-report.ts';

/** How many dead letters wait for a person, by sink and reason. */
export async function countDeadLetters(pool: pg.Pool): Promise<readonly DeadLetterCount[]> {
  const { rows } = await pool.query<{ sink: string | null; reason: string; count: number }>(
    'SELECT sink, reason, count(*)::integer AS count FROM walpost.dead_letters GROUP BY sink, reason ORDER BY sink, reason',
  );
  return rows;
}
