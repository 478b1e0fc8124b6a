/** Everything that is kept for a slot, in whichever table: all of it belongs to its cursor, and goes where that goes. */
import type pg from 'pg';
import { databaseError } from '../database-error.ts';
import { quoteIdentifier } from '../identifiers.ts';

/** Asked of the catalog, so that a table which comes later is not forgotten. The cursor comes first: it locks out its owner. */
const TABLES = `
  SELECT c.relname::text AS name
    FROM pg_class AS c JOIN pg_attribute AS a ON a.attrelid = c.oid
   WHERE c.relnamespace = 'walpost'::regnamespace AND c.relkind IN ('r', 'p') AND NOT c.relispartition
     AND a.attname = 'slot' AND NOT a.attisdropped
   ORDER BY c.relname <> 'cursor', c.relname`;

/**
 * Rows may be left under the new name without a cursor, and would be in the way: each slot has one row for a lane, one
 * for an alert, one for a change of an endpoint, and one open healing.
 */
const MAKE_ROOM = [
  'DELETE FROM walpost.lanes WHERE slot = $1',
  'DELETE FROM walpost.told_alerts WHERE slot = $1',
  'DELETE FROM walpost.endpoint_positions WHERE slot = $1',
  `UPDATE walpost.jobs SET state = 'cancelled', ended_at = clock_timestamp(), error = 'Another slot took this name.'
    WHERE slot = $1 AND state IN ('queued', 'running')`,
];

/** Gives all rows of a slot another name. Pass the connection of the transaction. */
export async function moveSlotRows(client: pg.ClientBase, from: string, to: string): Promise<void> {
  try {
    await client.query('SET LOCAL statement_timeout = 0');
    for (const sql of MAKE_ROOM) await client.query(sql, [to]);
    const { rows } = await client.query<{ name: string }>(TABLES);
    for (const { name } of rows) {
      await client.query(`UPDATE walpost.${quoteIdentifier(name)} SET slot = $2 WHERE slot = $1`, [from, to]);
    }
  } catch (error) {
    throw databaseError(error, `moving what is kept for slot "${from}"`);
  }
}
