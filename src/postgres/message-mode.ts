/**
 * Whether a slot's relay delivers logical messages, as the cursor row remembers it.
 *
 * walpost.emit asks the row, so that nothing is emitted that nobody reads. And the relay asks it before it changes its mind:
 * messages take ordinals, so a transaction that was stored in part, and comes again with the other setting, would have other
 * positions, and an event could be taken for one that is stored already.
 */
import type pg from 'pg';
import { WalpostError } from '../errors.ts';
import type { CursorStore } from './cursor-store.ts';
import { databaseError } from './database-error.ts';

/** What may be torn is looked for only when the setting is another one: it takes a scan of all that is parked. */
const READ = `
  SELECT c.messages,
         CASE WHEN c.messages = $2 THEN false
              ELSE EXISTS (SELECT FROM walpost.parked p
                            WHERE p.slot = c.slot AND p.era = c.era AND p.commit_lsn >= coalesce(c.lsn, '0/0'))
                OR EXISTS (SELECT FROM walpost.dead_letters d
                            WHERE d.commit_lsn >= coalesce(c.lsn, '0/0') AND d.slot = c.slot
                              AND d.system_identifier = c.system_identifier)
          END AS torn
    FROM walpost.cursor c WHERE c.slot = $1`;

const WRITE = 'UPDATE walpost.cursor SET messages = $3 WHERE slot = $1 AND epoch = $2';

/** Records what the configuration says; to be called before the stream starts. Throws MESSAGES_CHANGED. */
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
