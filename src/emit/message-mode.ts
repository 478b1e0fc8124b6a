/**
 * Whether the relay of a slot delivers logical messages, as recorded in the cursor row.
 *
 * walpost.emit reads the row, and refuses to emit messages that no relay delivers. The relay reads it before it changes the
 * setting: messages take ordinals, so a transaction that is stored in part and comes again under the other setting would have
 * other positions, and an event could be mistaken for one that is already stored.
 */
import type pg from 'pg';
import { WalpostError } from '../errors.ts';
import type { CursorStore } from '../postgres/cursor/cursor-store.ts';
import { databaseError } from '../postgres/database-error.ts';

/** Transactions that are stored in part are searched for only when the setting changes: it takes a scan of all that is parked. */
const READ = `
  SELECT c.messages,
         CASE WHEN c.messages = $2 THEN false
              ELSE EXISTS (SELECT FROM walpost.parked p
                            WHERE p.slot = c.slot AND p.history = c.history AND p.commit_lsn >= coalesce(c.lsn, '0/0'))
                OR EXISTS (SELECT FROM walpost.dead_letters d
                            WHERE d.commit_lsn >= coalesce(c.lsn, '0/0') AND d.slot = c.slot
                              AND d.system_identifier = c.system_identifier)
          END AS torn
    FROM walpost.cursor c WHERE c.slot = $1`;

const WRITE = 'UPDATE walpost.cursor SET messages = $3 WHERE slot = $1 AND epoch = $2';

/** Records the setting of the configuration; call it before the stream starts. Throws MESSAGES_CHANGED. */
export async function recordMessageMode(pool: pg.Pool, cursor: CursorStore, messages: boolean): Promise<void> {
  const { slot, epoch } = cursor;
  try {
    const { rows } = await pool.query<{ messages: boolean; torn: boolean }>(READ, [slot, messages]);
    if (rows[0]?.messages === messages) return;
    if (rows[0]?.torn) throw new WalpostError('MESSAGES_CHANGED', { detail: `It was ${rows[0].messages} before.` });
    const { rowCount } = await pool.query(WRITE, [slot, epoch, messages]);
    if (rowCount !== 1) throw cursor.lost();
  } catch (error) {
    throw databaseError(error, 'recording source.messages');
  }
}
