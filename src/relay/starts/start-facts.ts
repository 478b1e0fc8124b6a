/** What a start is decided from, as the database has it now. */
import type pg from 'pg';
import type { Config } from '../../config/schema.ts';
import { databaseError } from '../../postgres/database-error.ts';
import { quoteQualified, splitQualified } from '../../postgres/identifiers.ts';
import { OWN_TABLE } from '../../postgres/own-table.ts';
import { type Contents, decideStart, type StartDecision, type KnownCursor, type StartFacts } from './start.ts';

/** Counting stops here, and says so by being one more. */
export const COUNT_LIMIT = 10_000;

/**
 * A cursor of another name of the table, or of the publication, is ours when that name is gone: it was renamed. While both
 * names are there they are two sources.
 */
const LOOK = `
  WITH here AS (
    SELECT d.oid, s.system_identifier::text FROM pg_database AS d, pg_control_system() AS s WHERE d.datname = current_database()
  ), known AS (
    SELECT k.*, k.source_table = format('%I.%I', $1::text, $2::text) AS same_table, k.publication = $3 AS same_publication,
           NOT EXISTS (SELECT FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
                        WHERE format('%I.%I', n.nspname, c.relname) = k.source_table) AS table_gone,
           NOT EXISTS (SELECT FROM pg_publication AS p WHERE p.pubname = k.publication) AS publication_gone
      FROM walpost.cursor AS k
  )
  SELECT current_database()::text AS database,
         ARRAY(SELECT s.slot_name::text FROM pg_replication_slots AS s
                WHERE s.database IS NOT NULL AND s.database <> current_database()) AS foreign_slots,
         (SELECT CASE WHEN (i.system_identifier, i.database_oid) = (here.system_identifier, here.oid) THEN 'here' ELSE 'elsewhere' END
            FROM walpost.installation AS i, here) AS installed,
         (SELECT coalesce(json_agg(json_build_object(
             'slot', k.slot,
             'source', CASE WHEN k.source_table IS NULL OR k.publication IS NULL THEN 'unknown'
                            WHEN k.same_table AND (k.same_publication OR k.publication_gone) THEN 'ours'
                            WHEN k.table_gone AND k.same_publication THEN 'ours'
                            WHEN k.same_table THEN 'same table'
                            ELSE 'of others' END,
             'begun', k.lsn IS NOT NULL OR EXISTS (
               SELECT FROM walpost.jobs AS j
                WHERE j.slot = k.slot AND j.kind = 'heal' AND j.state IN ('queued', 'running')),
             'isFromHere', k.system_identifier = here.system_identifier AND coalesce(k.database_oid = here.oid, true)
           ) ORDER BY k.slot), '[]')::text FROM known AS k, here) AS cursors`;

interface LookRow {
  database: string;
  foreign_slots: string[];
  installed: 'here' | 'elsewhere' | null;
  /** JSON. */
  cursors: string;
}

/** Slots are named for the whole cluster, so the usual name carries the database's. */
export function usualSlot(database: string): string {
  return `walpost_${database.toLowerCase().replace(/[^a-z0-9_]/g, '_')}`.slice(0, 63);
}

export async function readStartFacts(db: Pick<pg.Pool, 'query'>, source: Config['source']): Promise<StartFacts> {
  const [schema = '', name = ''] = splitQualified(source.table);
  try {
    const { rows } = await db.query<LookRow>(LOOK, [schema, name, source.publication]);
    const row = rows[0];
    if (!row) throw new Error('a query for one row gave none');
    return {
      configured: {
        slot: source.slot,
        takesOver: source.takes_over,
        existing: source.existing,
        isOwnTable: schema === 'walpost' && name === 'outbox',
      },
      usualSlot: usualSlot(row.database),
      cursors: JSON.parse(row.cursors) as KnownCursor[],
      foreignSlots: new Set(row.foreign_slots),
      installed: row.installed ?? 'unknown',
    };
  } catch (error) {
    throw databaseError(error, 'reading the cursors');
  }
}

export interface StartLook {
  readonly facts: StartFacts;
  readonly decision: StartDecision;
}

/** The decision, with what has to be counted for it. */
export async function lookAtStart(db: Pick<pg.Pool, 'query'>, source: Config['source']): Promise<StartLook> {
  return countWhereNeeded(await readStartFacts(db, source), db, source.table);
}

/** Counts only where the decision depends on it. */
export async function countWhereNeeded(
  facts: StartFacts,
  db: Pick<pg.Pool, 'query'>,
  table: string,
): Promise<StartLook> {
  const decision = decideStart(facts);
  if (!('needs' in decision)) return { facts, decision };
  const counted = { ...facts, contents: await countContents(db, table) };
  return { facts: counted, decision: decideStart(counted) };
}

/** The slot that commands are about: it is told where a start would be refused too. */
export async function slotOf(db: Pick<pg.Pool, 'query'>, source: Config['source']): Promise<string> {
  const facts = await readStartFacts(db, source);
  const decision = decideStart(facts);
  if ('start' in decision) {
    const { start } = decision;
    return ('from' in start ? start.from : undefined) ?? start.slot;
  }
  if ('needs' in decision) return decision.slot;
  const known = facts.cursors.find(({ source: whose }) => whose === 'ours')?.slot;
  return source.slot ?? known ?? facts.usualSlot;
}

async function countContents(db: Pick<pg.Pool, 'query'>, table: string): Promise<Contents> {
  const count = (what: string): string =>
    `(SELECT count(*)::integer FROM (SELECT FROM ${what} LIMIT ${COUNT_LIMIT + 1}) AS first)`;
  try {
    const { rows } = await db.query<Contents & object>(
      `SELECT ${count(quoteQualified(table))} AS rows, ${count('walpost.parked')} AS parked,
              ${count('walpost.dead_letters')} AS "deadLetters",
              $1 AND coalesce((SELECT o.created_xid >= pg_snapshot_xmax(pg_current_snapshot()) FROM walpost.outbox AS o
                                ORDER BY o.created_xid DESC LIMIT 1), false) AS "areForeign"`,
      [table === OWN_TABLE],
    );
    if (!rows[0]) throw new Error('a query for one row gave none');
    return rows[0];
  } catch (error) {
    throw databaseError(error, `counting rows of ${table}`);
  }
}
