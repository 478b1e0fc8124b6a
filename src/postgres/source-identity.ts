/**
 * What a stream is made of, as one text that is another as soon as rows may have been missed.
 *
 * A publication decides row by row, by the catalog of that moment: rows that are written while it leaves the table out, or
 * publishes no inserts, are not in the stream, and nothing says so. Looking now and then whether all is well would miss a
 * change that was taken back in between. But a membership that is taken away and given again has another number, and a
 * publication that is altered has another row version. So these numbers are compared, with those that were there when the
 * stream was last known to be whole (walpost.cursor.source), and in the very statement that takes a checkpoint.
 *
 * Where they differ a replay reads what may be missing, and only its end makes the new ones those of a whole stream.
 *
 * It is null while the table is not published as it should be. What the numbers do not show afterwards is a partition that
 * was unlogged for a while; that has to be seen while it is so.
 */
import type pg from 'pg';
import { databaseError } from './database-error.ts';
import { splitQualified } from './identifiers.ts';

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
                        AND l.oid IN (SELECT c.oid UNION ALL SELECT relid FROM pg_partition_tree(c.oid))))`;

/** The parameters $3 to $5. */
export function sourceValues({ publication, table }: PublishedTable): readonly string[] {
  const [schema = '', name = ''] = splitQualified(table);
  return [publication, schema, name];
}

export interface SourceLook {
  /** What walpost.cursor has: null when it is not known; INCOMPLETE, or a job that is waited for, when rows are missing. */
  readonly recorded: string | null;
  readonly present: string | null;
  /** Every transaction before this one has ended. */
  readonly oldest: string;
}

/** Known to lack rows, whatever the numbers say later. */
export const INCOMPLETE = '';

/** The stream of the slot lacks rows, as a process has seen that does not lead, or not yet. */
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
 * What the cursor has while a job, named by its number, has still to send the rows that the stream lacks. No source that is
 * there can be equal to it, so nothing is proven meanwhile; and whatever is written over it says that this job is not enough.
 */
export function awaiting(job: string, source: string): string {
  return prefixOf(job) + source;
}

const prefixOf = (job: string): string => `job ${job}: `;

/** The number of the job that is waited for. */
export function awaitedJob(recorded: string): string | undefined {
  return /^job (\d+): /.exec(recorded)?.[1];
}

/** The job has sent them, and the stream is whole. Pass the connection of the transaction that ends the job. */
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

/** The xmax of a snapshot will not do: transactions that are open may have a higher number. */
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
