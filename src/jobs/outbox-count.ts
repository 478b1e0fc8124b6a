import type pg from 'pg';
import { databaseError } from '../postgres/database-error.ts';
import { quoteQualified } from '../postgres/identifiers.ts';
import { inTransaction } from '../postgres/transaction.ts';
import { Values } from './job-filter.ts';
import { filterColumns, type OutboxRange, type OutboxTable, spanCondition, wantedCondition } from './outbox-range.ts';
import { watchRowSecurity } from './outbox-scan.ts';

export interface OutboxCount {
  readonly events: number;
  /** Those with the most events. */
  readonly organizations: readonly CountOf[];
  readonly eventTypes: readonly CountOf[];
}

export interface CountOf {
  readonly name: string | null;
  readonly events: number;
}

const TOP = 10;

/** What a job with this range would send now. */
export async function countOutbox(
  pool: pg.Pool,
  source: Pick<OutboxTable, 'table' | 'mapping'>,
  range: OutboxRange,
): Promise<OutboxCount> {
  const values = new Values();
  const { organization = 'NULL', eventType = 'NULL' } = filterColumns(source);
  const top = (what: string): string =>
    `(SELECT '${what}', ${what}, sum(events) FROM found GROUP BY ${what} ORDER BY 3 DESC, 2 LIMIT ${TOP})`;
  const sql = `
    WITH found AS (
      SELECT ${organization}::text AS organization, ${eventType}::text AS event_type, count(*) AS events
        FROM ${quoteQualified(source.table)}
       WHERE ${spanCondition(range, null, values)} AND ${wantedCondition(range, source, values)}
       GROUP BY 1, 2
    )
    SELECT 'all' AS what, NULL AS name, coalesce(sum(events), 0)::text AS events FROM found
    UNION ALL SELECT w, n, e::text FROM ${top('organization')} AS o (w, n, e)
    UNION ALL SELECT w, n, e::text FROM ${top('event_type')} AS t (w, n, e)`;
  try {
    return await inTransaction(pool, async (client) => {
      await client.query('SET LOCAL statement_timeout = 0');
      await watchRowSecurity(client, source.table);
      const { rows } = await client.query<{ what: string; name: string | null; events: string }>(sql, values.list);
      const of = (what: string): CountOf[] =>
        rows.filter((row) => row.what === what).map(({ name, events }) => ({ name, events: Number(events) }));
      return { events: of('all')[0]?.events ?? 0, organizations: of('organization'), eventTypes: of('event_type') };
    });
  } catch (error) {
    throw databaseError(error, `counting rows of ${source.table}`);
  }
}
