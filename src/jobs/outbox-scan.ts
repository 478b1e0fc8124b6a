/**
 * The outbox as the source of a scan.
 *
 * A page is one statement over a span of the index (created_xid, seq). The first span begins at the xmin of the snapshot whose
 * rows are left out, and that snapshot then decides for each row. Filters only choose within the span, so that a statement
 * ends, and the scan advances, also when the filter matches almost nothing.
 *
 * Row-level security could hide rows without an error. With row_security off, hidden rows are an error. Security stays on where
 * the policies let the relay see every row, which is checked in the same transaction.
 */
import type pg from 'pg';
import { WalpostError } from '../errors.ts';
import type { Origin } from '../event.ts';
import { databaseError } from '../postgres/database-error.ts';
import { quoteIdentifier, quoteQualified } from '../postgres/identifiers.ts';
import { presentMapping } from '../postgres/source/present-mapping.ts';
import { mayHideRows } from '../postgres/source/row-security.ts';
import { filterCondition, Values, textOf } from './job-filter.ts';
import { filterColumns, type OutboxRange, type OutboxTable, spanCondition, wantedCondition } from './outbox-range.ts';
import { rowFilterCondition } from './row-filter.ts';
import type { ScanLimits, ScanPlace, ScanItem, ScanPage, ScanSource } from './scan.ts';

export interface OutboxScanOptions extends OutboxRange {
  readonly source: OutboxTable;
  /** Deliver only to these. */
  readonly sinks?: readonly string[] | undefined;
  /** And of their lanes only to these. */
  readonly lanes?: readonly string[] | undefined;
  /** Runs the work in one transaction: a new one each time, or one that stays open with a snapshot. */
  readonly inTransaction: <T>(work: (client: pg.ClientBase) => Promise<T>) => Promise<T>;
}

/** Minimum of rows that one statement reads. Without a filter most of them are wanted. */
const SPAN = 1_000;
const FILTERED_SPAN = 10_000;

/** Everything as Postgres prints it, whatever the type. */
type RawRow = (string | null)[];
const RAW = { getTypeParser: () => (value: string) => value };

/**
 * xid, seq, wanted, number in the span, whether no row comes after it; bytes and, of a row that is too long, the beginnings of
 * its values as a JSON array; then the columns of the event, which are null in such a row.
 */
const OWN_COLUMNS = 7;
/** Characters; a little more than a poison keeps. */
const BEGINNING = 33_000;

export class OutboxScan implements ScanSource {
  private readonly options: OutboxScanOptions;

  constructor(options: OutboxScanOptions) {
    this.options = options;
  }

  async read(after: ScanPlace | null, origin: Origin, limits: ScanLimits): Promise<ScanPage> {
    const values = new Values();
    const result = await this.options.inTransaction(async (client) => {
      await watchRowSecurity(client, this.options.source.table);
      try {
        const { table, mapping } = this.options.source;
        const present = Object.values(await presentMapping(client, table, mapping));
        const columns = [...new Set(present.filter((column) => column !== null))];
        const rowFilter = await rowFilterCondition(client, this.options.source);
        const text = this.statement(after, limits, values, { columns, rowFilter });
        return await client.query<RawRow>({ text, values: values.list, rowMode: 'array', types: RAW });
      } catch (error) {
        throw databaseError(error, `scanning ${this.options.source.table}`);
      }
    });
    const fields = result.fields.slice(OWN_COLUMNS).map(({ name, dataTypeID }) => ({ name, type: dataTypeID }));
    const read = this.options.source.readerFor(fields);
    const { sinks, lanes } = this.options;
    const keepsUnrouted = sinks !== undefined; // a job for some sinks says nothing about events without a route
    const items = result.rows
      .filter(([, , wanted]) => wanted === 't')
      .map((row): ScanItem => {
        const [, , , , , bytes, beginnings] = row;
        const values = beginnings ? (JSON.parse(beginnings) as (string | null)[]) : row.slice(OWN_COLUMNS);
        const item = Object.assign(read(values, origin, Number(bytes)), { jobRow: `${row[0]}/${row[1]}` });
        return { item, ...(sinks !== undefined && { sinks }), ...(lanes !== undefined && { lanes }) };
      });
    const [xid, seq, , number, isEnd] = result.rows.at(-1) ?? [];
    if (xid == null || seq == null) return { items, scanned: 0, place: after, last: true, keepsUnrouted };
    return { items, scanned: Number(number), place: { xid, seq }, last: isEnd === 't', keepsUnrouted };
  }

  /** The wanted rows within the limits, and the last row of the span, wanted or not, so that the place moves on. */
  private statement(
    after: ScanPlace | null,
    limits: ScanLimits,
    values: Values,
    { columns: mapped, rowFilter }: { readonly columns: readonly string[]; readonly rowFilter: string },
  ): string {
    const { source, filter } = this.options;
    const isFiltered = rowFilter !== 'true' || filterCondition(filter, filterColumns(source), new Values()) !== 'true';
    const span = isFiltered ? FILTERED_SPAN : Math.max(SPAN, limits.maxRows);
    const chosen = mapped.map(quoteIdentifier);
    const bytes = chosen.map((column) => `octet_length(format('%s', ${column}))`);
    const columns = chosen.map((_, index) => `c${index}`);
    const fits = `bytes <= ${source.maxRowBytes}`;
    const beginnings = columns.map((column) => `left(${textOf(column)}, ${BEGINNING})`).join(', ');
    return `
      WITH span AS (
        SELECT created_xid, seq, ${chosen.map((column, index) => `${column} AS c${index}`).join(', ')},
               CASE WHEN walpost_wanted THEN ${bytes.join(' + ')} ELSE 0 END AS bytes, walpost_wanted AS wanted
          FROM (SELECT *, ${wantedCondition(this.options, source, values)} AND ${rowFilter} AS walpost_wanted
                  FROM ${quoteQualified(source.table)}
                 WHERE ${spanCondition(this.options, after, values)}
                 ORDER BY created_xid, seq LIMIT ${span}) AS source
      ), counted AS (
        SELECT *, row_number() OVER place AS number, count(*) OVER () AS total,
               count(*) FILTER (WHERE wanted) OVER place AS events, sum(bytes) OVER place - bytes AS bytes_before
          FROM span WINDOW place AS (ORDER BY created_xid, seq ROWS UNBOUNDED PRECEDING)
      )
      SELECT created_xid::text, seq::text, wanted, number::integer, number = total AND total < ${span},
             bytes::text, CASE WHEN NOT ${fits} THEN json_build_array(${beginnings})::text END,
             ${chosen.map((column, index) => `CASE WHEN ${fits} THEN c${index} END AS ${column}`).join(', ')}
        FROM counted
       WHERE (wanted OR number = total) AND bytes_before < ${values.add(limits.maxBytes)}
         AND events <= ${values.add(limits.maxRows)}
       ORDER BY number`;
  }
}

/** Makes hidden rows an error for the rest of the transaction, unless security is on and surely hides none. */
export async function watchRowSecurity(client: pg.ClientBase, table: string): Promise<void> {
  const { rows } = await client.query<{ active: boolean }>('SELECT row_security_active($1::regclass) AS active', [
    quoteQualified(table),
  ]);
  if (rows[0]?.active === true && !(await mayHideRows(client, table))) return;
  await client.query('SET LOCAL row_security = off');
}

/** Scans need to know which transaction wrote a row, and the order in it; `why` is what the scan is for. */
export async function requireScanColumns(db: Pick<pg.Pool, 'query'>, table: string, why = ''): Promise<void> {
  const { rows } = await db.query<{ name: string; type: string }>(
    `SELECT attname::text AS name, atttypid::regtype::text AS type FROM pg_attribute
      WHERE attrelid = $1::regclass AND NOT attisdropped AND attname IN ('created_xid', 'seq')`,
    [quoteQualified(table)],
  );
  const types = new Map(rows.map(({ name, type }) => [name, type]));
  const missing = [
    ...(types.get('created_xid') === 'xid8' ? [] : ['created_xid xid8 NOT NULL DEFAULT pg_current_xact_id()']),
    ...(types.get('seq') === 'bigint' ? [] : ['seq bigint GENERATED ALWAYS AS IDENTITY']),
  ];
  if (missing.length === 0) return;
  const name = quoteQualified(table);
  throw new WalpostError('SCAN_COLUMNS', {
    detail: `${table} has no ${missing.map((column) => `column ${column}`).join(', and no ')}. ${why}`.trimEnd(),
    remedy:
      `ALTER TABLE ${name} ${missing.map((column) => `ADD COLUMN ${column}`).join(', ')}; ` +
      `CREATE INDEX CONCURRENTLY ON ${name} (created_xid, seq);`,
  });
}
