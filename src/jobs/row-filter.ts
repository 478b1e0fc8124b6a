import type pg from 'pg';
import { quoteQualified } from '../postgres/identifiers.ts';
import type { OutboxTable } from './outbox-range.ts';

const FILTER = `
  SELECT pg_get_expr(m.prqual, m.prrelid) AS filter
    FROM pg_publication_rel AS m JOIN pg_publication AS p ON p.oid = m.prpubid
   WHERE p.pubname = $1 AND m.prrelid = $2::regclass AND m.prqual IS NOT NULL`;

/**
 * A condition that chooses the rows which the publication streams, so that a scan brings no others: what the row filter of
 * the publication says, where the configuration expects one. Only immutable built-in functions can be in it.
 */
export async function rowFilterCondition(
  db: Pick<pg.ClientBase, 'query'>,
  { table, filteredBy }: Pick<OutboxTable, 'table' | 'filteredBy'>,
): Promise<string> {
  if (filteredBy == null) return 'true';
  const { rows } = await db.query<{ filter: string }>(FILTER, [filteredBy, quoteQualified(table)]);
  return rows[0] ? `coalesce((${rows[0].filter}), false)` : 'true';
}
