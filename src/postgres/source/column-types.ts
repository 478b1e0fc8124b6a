/**
 * A column whose type cannot carry its field would make a dead letter of every row. So it is refused at the start, with its
 * name. Ids, topics and the like may have any type, and so may a payload, but for types that wal2json does not describe.
 */
import { WalpostError } from '../../errors.ts';
import { quoteIdentifier, quoteQualified } from '../identifiers.ts';
import { ask, type Queryable } from '../queryable.ts';
import { type ColumnMapping, EVENT_FIELDS, type EventField, mappedColumns } from './column-mapping.ts';

export interface ColumnTypeOptions {
  readonly db: Queryable;
  /** As schema.table. */
  readonly table: string;
  /** Its number. */
  readonly tableId: number;
  readonly mapping: ColumnMapping;
  readonly plugin: 'pgoutput' | 'wal2json';
}

interface TypedColumn {
  column: string;
  /** As the table declares it. */
  type: string;
  /** Behind domains. */
  base: string;
  /** Made in this database, so that a plugin has to describe it. */
  own: boolean;
}

const TYPES = `
  WITH RECURSIVE typed AS (
    SELECT a.attname, a.atttypid AS declared, a.atttypmod, a.atttypid AS base FROM pg_attribute AS a
     WHERE a.attrelid = $1 AND a.attname = ANY ($2) AND NOT a.attisdropped
     UNION ALL
    SELECT d.attname, d.declared, d.atttypmod, t.typbasetype FROM typed AS d JOIN pg_type AS t ON t.oid = d.base WHERE t.typtype = 'd'
  )
  SELECT d.attname::text AS column, format_type(d.declared, d.atttypmod) AS type, t.typname::text AS base, d.declared::bigint >= 16384 AS own
    FROM typed AS d JOIN pg_type AS t ON t.oid = d.base WHERE t.typtype <> 'd' ORDER BY 1`;

const TEXTS = ['text', 'varchar', 'bpchar'];
/** The types that carry a field, the best one first; for the other fields any type does. */
const CARRIERS: Partial<Record<EventField, readonly string[]>> = {
  headers: ['jsonb', 'json'],
  event_version: ['int4', 'int2', 'int8', 'numeric', ...TEXTS],
  created_at: ['timestamptz', 'timestamp', ...TEXTS],
  expires_at: ['timestamptz', 'timestamp', ...TEXTS],
};
/** wal2json names a domain, and not what is behind it. */
const NEEDS_DESCRIPTION: ReadonlySet<EventField> = new Set<EventField>(['payload', 'headers']);

/** Throws with the first column, in the order of the fields. */
export async function refuseColumnTypes(options: ColumnTypeOptions): Promise<void> {
  const { db, tableId, mapping, plugin } = options;
  const rows = await ask<TypedColumn>(db, TYPES, [tableId, mappedColumns(mapping)]);
  for (const field of EVENT_FIELDS) {
    const found = rows.find(({ column }) => column === mapping[field]);
    if (!found) continue;
    const carriers = CARRIERS[field];
    if (carriers && !carriers.includes(found.base)) throw refusal(options, field, found, carriers);
    if (plugin === 'wal2json' && found.own && NEEDS_DESCRIPTION.has(field)) throw undescribed(options, field, found);
  }
}

function refusal(
  { table }: ColumnTypeOptions,
  field: EventField,
  { column, type }: TypedColumn,
  carriers: readonly string[],
): WalpostError {
  const name = quoteIdentifier(column);
  const [best = 'text'] = carriers;
  return new WalpostError('SOURCE_COLUMN', {
    detail: `The column ${name} of ${table} is ${type}, and ${field} can be ${carriers.join(', ')}.`,
    remedy:
      `Name another column in source.columns.${field}, or null to leave it out; or ` +
      `ALTER TABLE ${quoteQualified(table)} ALTER COLUMN ${name} TYPE ${best} USING …;`,
  });
}

function undescribed(
  { table }: ColumnTypeOptions,
  field: EventField,
  { column, type, base }: TypedColumn,
): WalpostError {
  return new WalpostError('SOURCE_COLUMN', {
    detail: `The column ${quoteIdentifier(column)} of ${table} is ${type}, which wal2json does not describe, so ${field} cannot be read.`,
    remedy:
      'Set source.plugin to pgoutput, and drop the slot; or ' +
      `ALTER TABLE ${quoteQualified(table)} ALTER COLUMN ${quoteIdentifier(column)} TYPE ${base};`,
  });
}
