/** Rows of the outbox by what a checkpoint saw of them, as conditions in SQL. */
import type { Event, Origin, Poison } from '../event.ts';
import { quoteIdentifier } from '../postgres/identifiers.ts';
import { OWN_TABLE } from '../postgres/own-table.ts';
import { parseSnapshot } from '../postgres/snapshot.ts';
import { type FilterColumns, filterCondition, type JobFilter, type Values } from './job-filter.ts';
import type { ScanPlace } from './scan.ts';

/** The source table, and how its rows become events. */
export interface OutboxTable {
  /** As schema.table. */
  readonly table: string;
  /** Event field to column; null where the table has none. */
  readonly mapping: Readonly<Record<string, string | null>>;
  /** The publication whose row filter chooses among the rows; null where all are wanted. */
  readonly filteredBy?: string | null;
  /**
   * Called once a page; the values come in the order of `columns`, as Postgres prints them. Of a row that has more bytes than
   * `maxRowBytes` the values are only beginnings, and the bytes are given.
   */
  readerFor(
    columns: readonly OutboxColumn[],
  ): (values: readonly (string | null)[], origin: Origin, bytes?: number) => Event | Poison;
  /** A longer row is not read: it can be longer than a string may be. */
  readonly maxRowBytes: number;
}

export interface OutboxColumn {
  readonly name: string;
  /** Object identifier of the type. */
  readonly type: number;
}

/** Which rows. */
export interface OutboxRange {
  /** Rows that this snapshot sees are left out. */
  readonly afterSnapshot: string | null;
  /** Rows of this and later transactions are left out. */
  readonly beforeXid: string | null;
  readonly filter: JobFilter;
}

/** The part of the index (created_xid, seq) that has to be read. */
export function spanCondition(range: OutboxRange, after: ScanPlace | null, values: Values): string {
  const { afterSnapshot, beforeXid } = range;
  const conditions: string[] = [];
  if (after) {
    conditions.push(`(created_xid, seq) > (${values.add(after.xid)}::xid8, ${values.add(after.seq)}::bigint)`);
  } else if (afterSnapshot !== null) {
    conditions.push(`created_xid >= ${values.add(String(parseSnapshot(afterSnapshot).xmin))}::xid8`);
  }
  if (beforeXid !== null) conditions.push(`created_xid < ${values.add(beforeXid)}::xid8`);
  return conditions.length === 0 ? 'true' : conditions.join(' AND ');
}

/** Which rows of it are to be sent. */
export function wantedCondition(
  range: OutboxRange,
  source: Pick<OutboxTable, 'table' | 'mapping'>,
  values: Values,
): string {
  const whole = source.table === OWN_TABLE ? 'redacted_at IS NULL' : 'true';
  return `(${whole} AND ${askedCondition(range, source, values)})`;
}

/** Those that are asked for and can not be sent, since walpost.prune has redacted them; only rows of our own table are. */
export function redactedCondition(
  range: OutboxRange,
  source: Pick<OutboxTable, 'table' | 'mapping'>,
  values: Values,
): string {
  if (source.table !== OWN_TABLE) return 'false';
  return `(redacted_at IS NOT NULL AND ${askedCondition(range, source, values)})`;
}

function askedCondition(range: OutboxRange, source: Pick<OutboxTable, 'mapping'>, values: Values): string {
  const { afterSnapshot, filter } = range;
  const unseen =
    afterSnapshot === null
      ? 'true'
      : `NOT pg_visible_in_snapshot(created_xid, ${values.add(afterSnapshot)}::pg_snapshot)`;
  return `(${unseen} AND ${filterCondition(filter, filterColumns(source), values)})`;
}

export function filterColumns({ mapping }: Pick<OutboxTable, 'mapping'>): FilterColumns {
  const column = (field: string): string | undefined => {
    const name = mapping[field];
    return name == null ? undefined : quoteIdentifier(name);
  };
  return {
    organization: column('organization_id'),
    eventType: column('event_type'),
    topic: column('topic'),
    eventId: column('event_id'),
  };
}
