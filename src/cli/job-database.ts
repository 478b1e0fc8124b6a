import type pg from 'pg';
import type { Config } from '../config/schema.ts';
import { databaseError } from '../postgres/database-error.ts';
import { assertMigrated } from '../postgres/migrate.ts';
import { createPool } from '../postgres/pool.ts';
import { slotName } from '../relay-ground.ts';

export interface JobDatabase extends AsyncDisposable {
  readonly pool: pg.Pool;
  readonly slot: string;
}

/** The database as the commands about jobs need it. */
export async function openJobDatabase(config: Config): Promise<JobDatabase> {
  const pool = createPool(config.database.url, { applicationName: 'walpost command', max: 2 });
  try {
    await assertMigrated(pool);
    const { rows } = await pool.query<{ name: string }>('SELECT current_database()::text AS name');
    return { pool, slot: slotName(config, rows[0]?.name ?? ''), [Symbol.asyncDispose]: () => pool.end() };
  } catch (error) {
    await pool.end();
    throw databaseError(error);
  }
}
