/** Topics whose rows stay in the outbox shorter or longer than the others. */
import type pg from 'pg';

export interface TopicRetention {
  readonly topic: string;
  readonly hours: number;
}

export async function readTopicRetentions(pool: pg.Pool): Promise<readonly TopicRetention[]> {
  const { rows } = await pool.query<TopicRetention>(
    `SELECT topic, value::float8 AS hours FROM walpost.settings WHERE name = 'retention_hours' ORDER BY value::float8, topic`,
  );
  return rows;
}
