import type { TestDatabase } from './database.ts';

/** What a relay does once everything that is visible now is settled. */
export async function settleAll(database: TestDatabase, slot = 'test'): Promise<void> {
  await database.query(
    `INSERT INTO walpost.cursor (slot, system_identifier, timeline)
     SELECT $1, system_identifier::text, 1 FROM pg_control_system() ON CONFLICT DO NOTHING`,
    [slot],
  );
  await database.query(
    `INSERT INTO walpost.checkpoints (slot, system_identifier, timeline, snapshot, lsn, settled_at)
     SELECT slot, system_identifier, timeline, pg_current_snapshot(), pg_current_wal_insert_lsn(), clock_timestamp()
       FROM walpost.cursor WHERE slot = $1`,
    [slot],
  );
}
