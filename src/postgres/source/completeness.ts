/**
 * The identity of a source: a text that changes whenever the stream may have missed rows.
 *
 * Postgres decides for each row, by the catalog of that moment, whether a publication streams it. Rows that are written while
 * the publication lacks the table, or publishes no inserts, are not in the stream, and no error says so. A periodic check would
 * miss a change that is undone between two checks. But a table that leaves a publication and comes back has a new OID there, and
 * an altered publication has a new row version. So these numbers are compared with those that were recorded when the stream was
 * last known to be complete (walpost.cursor.source). The statement that takes a checkpoint compares them too.
 *
 * When they differ, a replay reads the rows that may be missing. Only its end records the new numbers as complete.
 *
 * The identity is null while the table is not published as it should be. Two things leave no trace in it: a partition that was
 * unlogged for a while, and a table whose rows were published under the name of its root for a while. They have to be noticed
 * while they last.
 */
import type pg from 'pg';
import { databaseError } from '../database-error.ts';
import { splitQualified } from '../identifiers.ts';

export interface PublishedTable {
  readonly publication: string;
  /** As schema.table. */
  readonly table: string;
}

/** An expression over publication ($3), schema ($4) and table ($5). */
export const SOURCE_IDENTITY = `(
  SELECT format('%s/%s %s %s', p.oid, p.xmin, c.oid, member.number)
    FROM pg_publication AS p, pg_class AS c,
         LATERAL (SELECT r.oid AS number FROM pg_publication_rel AS r WHERE r.prpubid = p.oid AND r.prrelid = c.oid
                   UNION ALL
                  SELECT s.oid FROM pg_publication_namespace AS s WHERE s.pnpubid = p.oid AND s.pnnspid = c.relnamespace
                   UNION ALL
                  SELECT 0 WHERE p.puballtables
                   ORDER BY number LIMIT 1) AS member
   WHERE p.pubname = $3 AND p.pubinsert AND c.relnamespace = to_regnamespace(quote_ident($4)) AND c.relname = $5
     AND NOT EXISTS (SELECT FROM pg_class AS l WHERE l.relpersistence <> 'p'
                        AND l.oid IN (SELECT c.oid UNION ALL SELECT relid FROM pg_partition_tree(c.oid)))
     AND NOT EXISTS (SELECT FROM pg_partition_ancestors(c.oid) AS a JOIN pg_class AS root ON root.oid = a.relid
                      WHERE p.pubviaroot AND root.oid <> c.oid
                        AND (p.puballtables
                             OR EXISTS (SELECT FROM pg_publication_rel AS m WHERE m.prpubid = p.oid AND m.prrelid = root.oid)
                             OR EXISTS (SELECT FROM pg_publication_namespace AS m WHERE m.pnpubid = p.oid AND m.pnnspid = root.relnamespace))))`;

/** The parameters $3 to $5. */
export function sourceValues({ publication, table }: PublishedTable): readonly string[] {
  const [schema = '', name = ''] = splitQualified(table);
  return [publication, schema, name];
}

export interface SourceLook {
  /** As in walpost.cursor: null when it is unknown; INCOMPLETE, or the job that it waits for, when rows are missing. */
  readonly recorded: string | null;
  readonly present: string | null;
  /** Every transaction before this one has ended. */
  readonly oldest: string;
}

/** The stream is known to lack rows, whatever the identity says later. */
export const INCOMPLETE = '';

/** Records that the stream of the slot lacks rows. Any process that notices may do so, also one that does not lead. */
export async function markIncomplete(db: Pick<pg.ClientBase, 'query'>, slot: string): Promise<void> {
  try {
    await db.query('UPDATE walpost.cursor SET source = $2 WHERE slot = $1 AND source IS DISTINCT FROM $2', [
      slot,
      INCOMPLETE,
    ]);
  } catch (error) {
    throw databaseError(error, 'writing the cursor');
  }
}

/**
 * What the cursor records while a job has still to send the rows that the stream lacks. No identity equals it, so nothing is
 * proven until the job ends. Anything that is written over it means that this job is not enough.
 */
export function awaiting(job: string, source: string): string {
  return prefixOf(job) + source;
}

const prefixOf = (job: string): string => `job ${job}: `;

/** The number of the job that the cursor waits for. */
export function awaitedJob(recorded: string): string | undefined {
  return /^job (\d+): /.exec(recorded)?.[1];
}

/** The job has sent the rows: the stream is complete. Pass the connection of the transaction that ends the job. */
export async function adoptAwaited(db: Pick<pg.ClientBase, 'query'>, slot: string, job: string): Promise<void> {
  try {
    await db.query(
      'UPDATE walpost.cursor SET source = substr(source, length($2::text) + 1) WHERE slot = $1 AND starts_with(source, $2)',
      [slot, prefixOf(job)],
    );
  } catch (error) {
    throw databaseError(error, 'writing the cursor');
  }
}

const LOOK = `
  SELECT c.source AS recorded, ${SOURCE_IDENTITY} AS present,
         pg_snapshot_xmin(s.now)::text AS oldest
    FROM pg_current_snapshot() AS s (now) LEFT JOIN walpost.cursor AS c ON c.slot = $1 AND c.epoch = $2`;

/** Not the xmax of a snapshot: open transactions may have a higher number. */
const HORIZON = 'SELECT pg_current_xact_id()::text AS horizon';

/** Undefined when the epoch of the cursor is not ours any more. */
export async function lookAtSource(
  db: Pick<pg.ClientBase, 'query'>,
  { slot, epoch }: { readonly slot: string; readonly epoch: bigint },
  source: PublishedTable,
): Promise<SourceLook> {
  try {
    const { rows } = await db.query<SourceLook>(LOOK, [slot, epoch, ...sourceValues(source)]);
    return rows[0] ?? { recorded: null, present: null, oldest: '0' };
  } catch (error) {
    throw databaseError(error, 'looking at the source table');
  }
}

/** The number of a transaction that begins and ends now: older ones have lower numbers, whether or not they have ended. */
export async function xidOfNow(db: Pick<pg.ClientBase, 'query'>): Promise<string> {
  try {
    const { rows } = await db.query<{ horizon: string }>(HORIZON);
    return rows[0]?.horizon ?? '0';
  } catch (error) {
    throw databaseError(error, 'asking for a transaction number');
  }
}
