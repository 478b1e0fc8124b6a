/** Parked rows belong to sinks by name: renaming a sink must take them along, and forgetting one must not forget them. */
import type pg from 'pg';
import type { Config } from '../config/schema.ts';
import { WalpostError } from '../errors.ts';
import type { CursorStore } from '../postgres/cursor/cursor-store.ts';
import { databaseError } from '../postgres/database-error.ts';

/** Else they could not be redriven, and lanes that wait for a person would not wait any more. One that is there already stays. */
const RENAME_LETTERS = `
  UPDATE walpost.dead_letters AS d SET sink = $3 WHERE slot = $1 AND sink = $2 AND NOT EXISTS (
    SELECT FROM walpost.dead_letters AS t
     WHERE (t.commit_lsn, t.ordinal, t.sink, t.lane, t.slot, t.system_identifier)
         = (d.commit_lsn, d.ordinal, $3, d.lane, d.slot, d.system_identifier))`;

/** A sink that is paused stays so, also where a sink that had the new name before has left a failing lane. */
const FORGET_FAILING = `
  DELETE FROM walpost.lanes AS t WHERE slot = $1 AND sink = $3 AND paused_at IS NULL AND EXISTS (
    SELECT FROM walpost.lanes AS l
     WHERE (l.slot, l.sink, l.organization_id, l.lane) = (t.slot, $2, t.organization_id, t.lane) AND l.paused_at IS NOT NULL)`;
const RENAME_PAUSES = `
  UPDATE walpost.lanes AS l SET sink = $3 WHERE slot = $1 AND sink = $2 AND paused_at IS NOT NULL AND NOT EXISTS (
    SELECT FROM walpost.lanes AS t WHERE (t.slot, t.sink, t.organization_id, t.lane) = (l.slot, $3, l.organization_id, l.lane))`;

/** Renames rows by `formerly`, and dead letters and pauses with them; throws PARKED_SINK_UNKNOWN when rows of a sink that the configuration does not know are left. */
export async function adoptParkedSinks(pool: pg.Pool, cursor: CursorStore, sinks: Config['sinks']): Promise<number> {
  const renamed = Object.entries(sinks).flatMap(([name, { formerly }]) => (formerly ? [{ name, formerly }] : []));
  let moved = 0;
  try {
    for (const { name, formerly } of renamed) {
      const values = [cursor.slot, formerly, name];
      const { rowCount } = await pool.query(
        'UPDATE walpost.parked SET sink = $3 WHERE slot = $1 AND sink = $2',
        values,
      );
      await pool.query(RENAME_LETTERS, values);
      await pool.query(FORGET_FAILING, values);
      await pool.query(RENAME_PAUSES, values);
      moved += rowCount ?? 0;
    }
  } catch (error) {
    throw databaseError(error, 'renaming parked events');
  }
  const problem = unknownSinks(await countParked(pool, cursor.slot), sinks);
  if (problem) throw problem;
  return moved;
}

/** Undefined when the configuration names every sink, now or as `formerly`. */
export function unknownSinks(counts: readonly ParkedSinkCount[], sinks: Config['sinks']): WalpostError | undefined {
  const known = new Set(Object.entries(sinks).flatMap(([name, { formerly }]) => [name, formerly]));
  const unknown = counts.filter(({ sink }) => !known.has(sink));
  if (unknown.length === 0) return undefined;
  const list = unknown.map(({ sink, count }) => `"${sink}" (${count})`).join(', ');
  return new WalpostError('PARKED_SINK_UNKNOWN', { detail: `It has ${list}.` });
}

/** Counting stops here, and says so by being the number itself. */
export const COUNT_LIMIT = 100_000;

export interface ParkedSinkCount {
  readonly sink: string;
  readonly count: number;
  readonly oldestAgeSeconds: number | null;
}

/** Rows by sink, found one sink at a time in the index; each count stops at COUNT_LIMIT. */
const COUNT = `
  WITH RECURSIVE names AS (
    (SELECT sink FROM walpost.parked WHERE slot = $1 ORDER BY sink LIMIT 1)
    UNION ALL
    SELECT (SELECT p.sink FROM walpost.parked p WHERE p.slot = $1 AND p.sink > names.sink ORDER BY p.sink LIMIT 1)
      FROM names WHERE names.sink IS NOT NULL
  )
  SELECT sink,
         (SELECT count(*)::integer FROM (SELECT FROM walpost.parked p WHERE p.slot = $1 AND p.sink = names.sink LIMIT $2) AS c) AS count,
         (SELECT extract(epoch FROM clock_timestamp() - coalesce(p.committed_at, p.received_at))::float8
            FROM walpost.parked p WHERE p.slot = $1 AND p.sink = names.sink ORDER BY p.id LIMIT 1) AS "oldestAgeSeconds"
    FROM names WHERE sink IS NOT NULL`;

export async function countParked(pool: pg.Pool, slot: string): Promise<readonly ParkedSinkCount[]> {
  try {
    return (await pool.query<ParkedSinkCount & object>(COUNT, [slot, COUNT_LIMIT])).rows;
  } catch (error) {
    throw databaseError(error, 'counting parked events');
  }
}
