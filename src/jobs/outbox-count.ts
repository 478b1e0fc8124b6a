import type pg from 'pg';
import { databaseError } from '../postgres/database-error.ts';
import { quoteIdentifier, quoteQualified } from '../postgres/identifiers.ts';
import { inTransaction } from '../postgres/transaction.ts';
import { textOf, Values } from './job-filter.ts';
import {
  filterColumns,
  type OutboxRange,
  type OutboxTable,
  redactedCondition,
  spanCondition,
  wantedCondition,
} from './outbox-range.ts';
import { watchRowSecurity } from './outbox-scan.ts';
import { rowFilterCondition } from './row-filter.ts';
import { isRouted, routedTo, type RouteColumns, type Routing, sinksOf } from './route-condition.ts';

export interface OutboxCount {
  /** That go to one of the sinks. */
  readonly events: number;
  /** How many of them go to which. */
  readonly sinks: readonly CountOf[];
  /** That no route matches. */
  readonly unrouted: number;
  /** That go to other sinks only. */
  readonly elsewhere: number;
  /** That are redacted and therefore left out. */
  readonly redacted: number;
  /** Those with the most events, and how many more there are. */
  readonly organizations: readonly CountOf[];
  readonly moreOrganizations: number;
  readonly eventTypes: readonly CountOf[];
  readonly moreEventTypes: number;
}

export interface CountOf {
  readonly name: string | null;
  readonly events: number;
}

const TOP = 10;

/** What a job with this range would send now, and to whom. */
export async function countOutbox(
  pool: pg.Pool,
  source: Pick<OutboxTable, 'table' | 'mapping' | 'filteredBy'>,
  { routing, ...range }: OutboxRange & { readonly routing: Routing },
): Promise<OutboxCount> {
  const values = new Values();
  const sql = (rowFilter: string): string => statement(source, { ...range, rowFilter }, routing, values);
  try {
    return await inTransaction(pool, async (client) => {
      await client.query('SET LOCAL statement_timeout = 0');
      await watchRowSecurity(client, source.table);
      const text = sql(await rowFilterCondition(client, source));
      const { rows } = await client.query<{ what: string; name: string | null; events: string }>(text, values.list);
      const of = (what: string): CountOf[] =>
        rows.filter((row) => row.what === what).map(({ name, events }) => ({ name, events: Number(events) }));
      const one = (what: string): number => of(what)[0]?.events ?? 0;
      return {
        events: one('all'),
        sinks: of('sink').filter(({ events }) => events > 0),
        unrouted: one('unrouted'),
        elsewhere: one('elsewhere'),
        redacted: one('redacted'),
        organizations: of('organization'),
        moreOrganizations: Math.max(0, one('organizations') - TOP),
        eventTypes: of('event_type'),
        moreEventTypes: Math.max(0, one('event_types') - TOP),
      };
    });
  } catch (error) {
    throw databaseError(error, `counting rows of ${source.table}`);
  }
}

function statement(
  source: Pick<OutboxTable, 'table' | 'mapping'>,
  { rowFilter, ...range }: OutboxRange & { readonly rowFilter: string },
  routing: Routing,
  values: Values,
): string {
  const { organization, eventType } = filterColumns(source);
  const routeColumns = routeColumnsOf(source);
  const sinks = sinksOf(routing);
  const each = sinks.map((sink, index) => `${routedTo(sink, routing, routeColumns, values)} AS s${index}`);
  const sent = sinks.map((_, index) => `s${index}`).join(' OR ') || 'false';
  const top = (what: string): string =>
    `(SELECT '${what}', ${what}, sum(events) FROM found WHERE events > 0 GROUP BY ${what} ORDER BY 3 DESC, 2 LIMIT ${TOP})`;
  const total = (what: string, column: string, name = 'NULL'): string =>
    `SELECT '${what}' AS what, ${name}::text AS name, coalesce(sum(${column}), 0)::text AS events FROM found`;
  const different = (what: string, column: string): string =>
    `SELECT '${what}', NULL, count(*)::text FROM (SELECT FROM found WHERE events > 0 GROUP BY ${column}) AS d`;
  return `
    WITH wanted AS (
      SELECT ${[`${textOf(organization)} AS organization`, `${textOf(eventType)} AS event_type`, ...each].join(', ')},
             ${isRouted(routing, routeColumns, values)} AS routed
        FROM ${quoteQualified(source.table)}
       WHERE ${spanCondition(range, null, values)} AND ${wantedCondition(range, source, values)} AND ${rowFilter}
    ), found AS (
      SELECT organization, event_type, count(*) FILTER (WHERE ${sent}) AS events,
             count(*) FILTER (WHERE NOT routed) AS unrouted, count(*) FILTER (WHERE routed AND NOT (${sent})) AS elsewhere
             ${sinks.map((_, index) => `, count(*) FILTER (WHERE s${index}) AS n${index}`).join('')}
        FROM wanted GROUP BY 1, 2
    )
    ${total('all', 'events')}
    UNION ALL ${total('unrouted', 'unrouted')}
    UNION ALL ${total('elsewhere', 'elsewhere')}
    ${sinks.map((sink, index) => `UNION ALL ${total('sink', `n${index}`, values.add(sink))}`).join('\n    ')}
    UNION ALL SELECT 'redacted', NULL, count(*)::text FROM ${quoteQualified(source.table)}
     WHERE ${spanCondition(range, null, values)} AND ${redactedCondition(range, source, values)} AND ${rowFilter}
    UNION ALL ${different('organizations', 'organization')}
    UNION ALL ${different('event_types', 'event_type')}
    UNION ALL SELECT w, n, e::text FROM ${top('organization')} AS o (w, n, e)
    UNION ALL SELECT w, n, e::text FROM ${top('event_type')} AS t (w, n, e)`;
}

function routeColumnsOf({ mapping }: Pick<OutboxTable, 'mapping'>): RouteColumns {
  const column = (field: string): string | undefined => {
    const name = mapping[field];
    return name == null ? undefined : quoteIdentifier(name);
  };
  return {
    topic: column('topic'),
    event_type: column('event_type'),
    target: column('target'),
    entity_type: column('entity_type'),
    organization_id: column('organization_id'),
  };
}
