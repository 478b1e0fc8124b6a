/**
 * Where walpost was installed: one row, which a copy of the database brings along and which then names another place
 * (sql/tables/005_cursor.sql).
 */
import type pg from 'pg';
import { databaseError } from '../database-error.ts';

const HERE = `
  SELECT s.system_identifier::text, d.oid, d.datname, $1::text
    FROM pg_control_system() AS s, pg_database AS d WHERE d.datname = current_database()`;
/** $1 says who records it; with ON CONFLICT behind it. */
export const RECORD_INSTALLATION = `INSERT INTO walpost.installation (system_identifier, database_oid, database_name, recorded_by) ${HERE}`;

/** What migrate does each time. A row that is there stays: it may be that of the database which this one is a copy of. */
export async function recordInstallation(client: pg.ClientBase): Promise<void> {
  const { rows } = await client.query<{ there: boolean }>(
    `SELECT to_regclass('walpost.installation') IS NOT NULL AS there`,
  );
  if (rows[0]?.there) await client.query(`${RECORD_INSTALLATION} ON CONFLICT DO NOTHING`, ['migrate']);
}

/** From here on this is no copy any more; pass the connection of the transaction that makes it true. */
export async function moveInstallation(client: pg.ClientBase, decision: string): Promise<void> {
  try {
    await client.query(
      `${RECORD_INSTALLATION} ON CONFLICT (one) DO UPDATE
         SET (system_identifier, database_oid, database_name, recorded_by, recorded_at) =
             (excluded.system_identifier, excluded.database_oid, excluded.database_name, excluded.recorded_by, excluded.recorded_at)
       WHERE (installation.system_identifier, installation.database_oid) <> (excluded.system_identifier, excluded.database_oid)`,
      [decision],
    );
  } catch (error) {
    throw databaseError(error, 'recording the installation');
  }
}
