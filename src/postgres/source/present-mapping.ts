import { quoteQualified } from '../identifiers.ts';
import type { Queryable } from '../queryable.ts';
import { OPTIONAL_FIELDS } from './column-mapping.ts';

const COLUMNS = `SELECT attname::text AS name FROM pg_attribute
                  WHERE attrelid = $1::regclass AND NOT attisdropped AND attname = ANY ($2::text[])`;

/**
 * The mapping without the columns that this table may lack, and lacks. The stream needs no such look: each of its Relation
 * messages says what there is. A missing column that the table must have stays, so that the query which names it says so.
 */
export async function presentMapping<M extends Readonly<Record<string, string | null>>>(
  db: Queryable,
  table: string,
  mapping: M,
): Promise<M> {
  const asked = OPTIONAL_FIELDS.flatMap((field) => mapping[field] ?? []);
  if (asked.length === 0) return mapping;
  const { rows } = await db.query<{ name: string }>(COLUMNS, [quoteQualified(table), asked]);
  const there = new Set(rows.map(({ name }) => name));
  const missing = OPTIONAL_FIELDS.filter((field) => !there.has(mapping[field] ?? ''));
  return { ...mapping, ...Object.fromEntries(missing.map((field) => [field, null])) };
}
