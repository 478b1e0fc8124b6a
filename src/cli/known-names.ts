/** A name that was mistyped looks like one that has nothing. So when nothing was found, what is there is named. */
import type pg from 'pg';
import type { Config } from '../config/schema.ts';
import { textOf } from '../jobs/job-filter.ts';
import { databaseError } from '../postgres/database-error.ts';
import { quoteIdentifier, quoteQualified } from '../postgres/identifiers.ts';
import { likePattern } from '../postgres/like-pattern.ts';
import { columnMapping } from '../postgres/source/column-mapping.ts';
import { usage } from './flag-values.ts';

interface Found {
  readonly known: boolean;
  readonly total: number;
  readonly alike: number;
  /** Those that begin like it; any when none does. */
  readonly names: readonly string[];
}

const SHOWN = 3;
/** An id that is complete: it is no slip of the hand, and its organization may have nothing just now. */
const COMPLETE = /^[\da-f]{8}(-[\da-f]{4}){3}-[\da-f]{12}$/i;

export interface NamesAsked {
  readonly organization?: string | undefined;
  readonly sink?: string | undefined;
}

/** Call it when nothing was found. Throws USAGE when the organization has nothing stored anywhere, or there is no such sink. */
export async function refuseUnknownNames(
  pool: pg.Pool,
  { sinks, source }: Pick<Config, 'sinks' | 'source'>,
  { organization, sink }: NamesAsked,
): Promise<void> {
  if (sink !== undefined && !Object.hasOwn(sinks, sink)) {
    throw usage(`--sink names no sink: there is ${Object.keys(sinks).join(', ')}, not "${sink}".`);
  }
  if (organization === undefined) return;
  const { known, total, alike, names } = await find(pool, source, organization);
  if (known) return;
  const list = (count: number): string => names.join(', ') + (count > names.length ? ', …' : '');
  const there =
    total === 0
      ? 'there are no events of any'
      : alike > 0
        ? `${alike} ${alike === 1 ? 'begins' : 'begin'} with it: ${list(alike)}`
        : `there ${total === 1 ? 'is' : 'are'} ${total}: ${list(total)}`;
  throw usage(`No such organization has events here: "${organization}"; ${there}.`);
}

/** For commands that only look, and for pauses: an organization whose id is complete may have nothing just now. */
export function refuseBrokenNames(
  pool: pg.Pool,
  config: Pick<Config, 'sinks' | 'source'>,
  { organization = '', sink }: NamesAsked,
): Promise<void> {
  const isComplete = organization === '' || COMPLETE.test(organization);
  return refuseUnknownNames(pool, config, { sink, ...(!isComplete && { organization }) });
}

async function find(pool: pg.Pool, source: Config['source'], organization: string): Promise<Found> {
  const column = columnMapping(source)['organization_id'];
  const own = column == null ? 'NULL' : textOf(quoteIdentifier(column));
  const sql = `
    WITH there AS (
      SELECT DISTINCT ${own} AS name FROM ${quoteQualified(source.table)}
      UNION SELECT organization_id FROM walpost.parked
      UNION SELECT organization_id FROM walpost.dead_letters
    ), judged AS (
      SELECT name, name ILIKE $2 AS alike FROM there WHERE name IS NOT NULL
    )
    SELECT coalesce(bool_or(name = $1), false) AS known, count(*)::integer AS total,
           (count(*) FILTER (WHERE alike))::integer AS alike,
           (SELECT array_agg(name) FROM (SELECT name FROM judged ORDER BY alike DESC, name LIMIT ${SHOWN}) AS first) AS names
      FROM judged`;
  try {
    const { rows } = await pool.query<{ known: boolean; total: number; alike: number; names: string[] | null }>(sql, [
      organization,
      `${likePattern(organization.replaceAll('*', ''))}%`,
    ]);
    const { known = false, total = 0, alike = 0, names } = rows[0] ?? {};
    return { known, total, alike, names: (names ?? []).slice(0, alike > 0 ? alike : SHOWN) };
  } catch (error) {
    throw databaseError(error, 'looking for organizations');
  }
}
