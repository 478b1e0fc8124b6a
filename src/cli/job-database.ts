import type pg from 'pg';
import type { Config } from '../config/schema.ts';
import { databaseError } from '../postgres/database-error.ts';
import { assertMigrated } from '../postgres/schema/migrate.ts';
import { createPool, SILENCE_MS } from '../postgres/pool.ts';
import { slotOf } from '../relay/starts/start-facts.ts';

export interface JobDatabase extends AsyncDisposable {
  readonly pool: pg.Pool;
  readonly slot: string;
}

/** The database as the commands about jobs need it. */
export async function openJobDatabase(config: Config): Promise<JobDatabase> {
  const pool = createPool(config.database.url, {
    applicationName: 'walpost command',
    max: 2,
    queryTimeoutMs: SILENCE_MS,
  });
  try {
    await assertMigrated(pool);
    return { pool, slot: await slotOf(pool, config.source), [Symbol.asyncDispose]: () => pool.end() };
  } catch (error) {
    await pool.end();
    throw databaseError(error);
  }
}
